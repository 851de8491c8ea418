import type {
  ChatControls,
  DeviceKind,
  DeviceView,
  LinkStatistics,
  MeetingControls,
  MeetingView,
  Moderation,
  Quality,
  ReactionControls,
  RecordingControls,
  Sample,
} from '../src/core/types';

/** A meeting without network and devices: it shows one view, and its buttons do the obvious. */
export class FakeMeeting implements MeetingControls {
  private readonly listeners = new Set<(view: MeetingView) => void>();

  constructor(public view: MeetingView) {}

  subscribe(listener: (view: MeetingView) => void): () => void {
    this.listeners.add(listener);
    listener(this.view);
    return () => this.listeners.delete(listener);
  }

  /** What is said is shown; files go nowhere. */
  readonly chat: ChatControls = {
    say: (text) => {
      const id = `own-${this.view.chat.length}`;
      const said = { kind: 'text', id, name: '', at: Date.now(), text, waiting: [] } as const;
      this.show({ chat: [...this.view.chat, said] });
      return true;
    },
    offer: () => 'nobody',
    accept: () => undefined,
    stop: () => undefined,
  };

  /** Whoever confirms is shown as recording; nothing is written. */
  readonly recording: RecordingControls = {
    limit: 512 * 1024 ** 2,
    start: (_, place = 'device') => {
      this.show({ recording: { state: 'on', since: Date.now(), place } });
      return Promise.resolve();
    },
    stop: () => {
      this.hush();
    },
    dismiss: () => {
      this.hush();
    },
  };

  /** Shown until the page goes. */
  readonly reactions: ReactionControls = {
    react: (sign) => {
      const id = this.view.reactions.length + 1;
      this.show({ reactions: [...this.view.reactions, { id, sign }] });
    },
  };

  private hush(): void {
    const view = { ...this.view };
    delete view.recording;
    this.view = view;
    this.show({});
  }

  setMic(on: boolean): Promise<void> {
    return this.device('mic', on);
  }

  setCamera(on: boolean): Promise<void> {
    return this.device('camera', on);
  }

  flipCamera(): Promise<void> {
    const facing = this.view.camera.facing === 'environment' ? 'user' : 'environment';
    this.show({ camera: { ...this.view.camera, facing } });
    return Promise.resolve();
  }

  setScreen(on: boolean): Promise<void> {
    this.show({ screen: { ...this.view.screen, on } });
    return Promise.resolve();
  }

  suppressNoise(on: boolean): Promise<void> {
    this.show({ noise: { on, pending: false } });
    return Promise.resolve();
  }

  setBlur(): Promise<void> {
    return Promise.resolve();
  }

  setQuality(quality: Quality): void {
    this.show({ quality });
  }

  setHand(hand: boolean): void {
    this.show({ hand });
  }

  moderate(act: Moderation): void {
    if (act.action === 'settings') this.show({ settings: { ...this.view.settings, ...act.settings } });
  }

  choose(kind: DeviceKind, id: string): Promise<void> {
    if (kind === 'speaker') this.show({ loudspeaker: id });
    else this.show({ [kind]: { ...this.view[kind], id } });
    return Promise.resolve();
  }

  watchLevel(listener: (level: number) => void): () => void {
    listener(this.view.mic.on ? 0.6 : 0);
    return () => undefined;
  }

  checkPath(): Promise<void> {
    return Promise.resolve();
  }

  dismissNotice(): void {
    const view = { ...this.view };
    delete view.notice;
    this.view = view;
    this.show({});
  }

  join(): void {
    this.show({ phase: { kind: 'joined', selfId: 'self' }, signaling: 'open' });
  }

  leave(): void {
    this.show({ phase: { kind: 'left' }, signaling: 'closed' });
  }

  watchStatistics(listener: (links: readonly LinkStatistics[]) => void): () => void {
    listener(this.view.people.map(({ id, name }, index) => ({ id, name, samples: samples(index) })));
    return () => undefined;
  }

  confirmSafetyCode(id: string): void {
    const people = this.view.people.map((person) =>
      person.id === id ? { ...person, safety: 'compared' as const } : person,
    );
    this.show({ people });
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

/** Three minutes of a call that is troubled for a while. */
function samples(index: number): Sample[] {
  return Array.from({ length: 90 }, (_, step) => {
    const wave = 1 + Math.sin(step / 5 + index) / 4;
    const troubled = step > 50 && step < 62;
    return {
      at: Date.UTC(2026, 0, 2, 3, 4, 5) + step * 2_000,
      roundTripMs: Math.round((troubled ? 240 : 40) * wave),
      received: {
        bytes: step * 200_000,
        kbps: Math.round((troubled ? 260 : 820) * wave),
        lossPercent: troubled ? 7.5 : 0.2,
        jitterMs: Math.round(8 * wave),
        width: 640,
        height: 360,
        fps: 30,
        audioCodec: 'opus',
        videoCodec: 'VP8',
        packets: 100,
        freezes: troubled ? 1 : 0,
        frozenMs: troubled ? 400 : 0,
        frozenPercent: troubled ? 20 : 0,
      },
      sent: {
        bytes: step * 100_000,
        kbps: Math.round(410 * wave),
        lossPercent: 0,
        jitterMs: 3,
        width: 320,
        height: 180,
        fps: 20,
        audioCodec: 'opus',
        videoCodec: 'VP8',
        availableKbps: 900,
      },
      path: {
        local: index === 1 ? 'relay' : 'host',
        remote: 'srflx',
        protocol: 'udp',
        relayed: index === 1,
      },
    };
  });
}
