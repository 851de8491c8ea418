/** Detects who is speaking and who has the floor, from the received sound levels. */
import type { Clock } from './clock';

/** Interval of level readings; a syllable lasts longer. */
const READ_MS = 100;
/**
 * Level at which speech starts. Levels are linear, with 1 as the maximum (W3C WebRTC
 * `RTCRtpContributingSource.audioLevel`).
 */
const STARTS = 0.02;
/** Level below which a pause starts. */
const STOPS = 0.008;
/** Length of a pause that ends speech; a breath between two words does not. */
const PAUSE_MS = 700;
/** Length of speech that gets the floor; a cough does not suffice. */
const FLOOR_MS = 600;

/** Key of the user's own voice among the levels; ids are longer (R8). */
export const OWN = 'self';

/** Options of `Speakers`. */
export interface SpeakersOptions {
  readonly clock: Clock;
  /** Levels of everybody whose microphone is on, by id; the user's own as `OWN`, which never gets the floor. */
  readonly levels: () => ReadonlyMap<string, number>;
  /** Called when `speaks` or `floor` has changed. */
  readonly onChange: () => void;
}

/** Reads the levels from `start` until `stop`. */
export class Speakers {
  readonly #options: SpeakersOptions;
  /** Current speakers, with the start of their speech and when they were last heard. */
  #heard = new Map<string, { since: number; last: number }>();
  #floor: string | undefined;
  #timer: number | undefined;

  constructor(options: SpeakersOptions) {
    this.#options = options;
  }

  /** Returns whether this person is speaking. */
  speaks(id: string): boolean {
    return this.#heard.has(id);
  }

  /** The last person who spoke for more than a moment. They keep the floor while speaking, and in silence. */
  get floor(): string | undefined {
    return this.#floor;
  }

  start(): void {
    const { clock } = this.#options;
    clock.clearTimeout(this.#timer);
    this.#timer = clock.setTimeout(() => {
      // Schedule first, so that an error in one reading does not stop the readings.
      this.start();
      this.#read();
    }, READ_MS);
  }

  /** Resets speakers and floor. */
  stop(): void {
    this.#options.clock.clearTimeout(this.#timer);
    this.#heard.clear();
    this.#floor = undefined;
  }

  #read(): void {
    const { clock, levels, onChange } = this.#options;
    const now = clock.now();
    const before = [...this.#heard.keys(), this.#floor].join();
    const present = levels();
    for (const id of this.#heard.keys()) if (!present.has(id)) this.#heard.delete(id);
    for (const [id, level] of present) {
      const speech = this.#heard.get(id);
      if (speech) {
        if (level >= STOPS) speech.last = now;
        else if (now - speech.last >= PAUSE_MS) this.#heard.delete(id);
      } else if (level >= STARTS) this.#heard.set(id, { since: now, last: now });
    }
    if (this.#floor === undefined || !this.#heard.has(this.#floor)) {
      // The one who has spoken longest is the first, because a map keeps insertion order.
      const next = [...this.#heard].find(([id, { since }]) => id !== OWN && now - since >= FLOOR_MS);
      if (next) this.#floor = next[0];
    }
    if ([...this.#heard.keys(), this.#floor].join() !== before) onChange();
  }
}
