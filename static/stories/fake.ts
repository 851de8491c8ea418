import type { DeviceView, MeetingControls, MeetingView } from '../src/core/types';

/** A meeting without network and devices: it shows one view, and its buttons do the obvious. */
export class FakeMeeting implements MeetingControls {
  private readonly listeners = new Set<(view: MeetingView) => void>();

  constructor(public view: MeetingView) {}

  subscribe(listener: (view: MeetingView) => void): () => void {
    this.listeners.add(listener);
    listener(this.view);
    return () => this.listeners.delete(listener);
  }

  setMic(on: boolean): Promise<void> {
    return this.device('mic', on);
  }

  setCamera(on: boolean): Promise<void> {
    return this.device('camera', on);
  }

  join(): void {
    this.show({ phase: { kind: 'joined', selfId: 'self' }, signaling: 'open' });
  }

  leave(): void {
    this.show({ phase: { kind: 'left' }, signaling: 'closed' });
  }

  private device(kind: 'mic' | 'camera', on: boolean): Promise<void> {
    // What fails goes on failing, and what is asked goes on being asked.
    const { failure, pending } = this.view[kind];
    const device: DeviceView = { on, pending: false };
    if (failure === undefined && !pending) this.show({ [kind]: device });
    return Promise.resolve();
  }

  private show(change: Partial<MeetingView>): void {
    this.view = { ...this.view, ...change };
    for (const listener of this.listeners) listener(this.view);
  }
}
