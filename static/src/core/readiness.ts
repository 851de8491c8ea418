/** Pre-join checks: whether the meeting can be reached, and whether it is being recorded. */
import type { Address } from './address';
import { type Environment, originProof } from './environment';
import { checkPath } from './path';
import { isRecorded, type RecordingServer } from './recording/server';
import type { MeetingView, PathReport } from './types';

/** Options of a `Readiness`. */
export interface ReadinessOptions {
  readonly environment: Environment;
  readonly address: Address;
  /** Server to ask whether the meeting is being recorded. */
  readonly recordings: RecordingServer | undefined;
  /** Called when `view` has changed. */
  readonly onChange: () => void;
}

/** Runs the checks on request, one run at a time. */
export class Readiness {
  readonly #options: ReadinessOptions;
  #path: PathReport | undefined;
  #recorded = false;

  constructor(options: ReadinessOptions) {
    this.#options = options;
  }

  get view(): Pick<MeetingView, 'path' | 'recorded'> {
    return { recorded: this.#recorded, ...(this.#path && { path: this.#path }) };
  }

  async look(): Promise<void> {
    const { environment, address, recordings, onChange } = this.#options;
    const { connect, fetch, media, clock } = environment;
    if (!connect || !media || this.#path?.state === 'checking') return;
    this.#show({ state: 'checking' });
    void (recordings ? isRecorded(recordings) : Promise.resolve(false)).then((recorded) => {
      this.#recorded = recorded;
      onChange();
    });
    const socketUrl = (room: string): string => address.socket(room);
    const checkUrl = address.http('check');
    this.#show(
      await checkPath({
        socketUrl,
        checkUrl,
        connect,
        fetch,
        media,
        clock,
        proof: originProof(environment, address),
      }),
    );
  }

  #show(path: PathReport): void {
    this.#path = path;
    this.#options.onChange();
  }
}
