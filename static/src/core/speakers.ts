/** Who speaks, and who has the floor, by the level of the sound that arrives. */
import type { Clock } from './clock';

/** How often the levels are read; a syllable lasts longer. */
const READ_MS = 100;
/** Levels are linear, 1 is the loudest (W3C WebRTC `RTCRtpContributingSource.audioLevel`). Speech starts here… */
const STARTS = 0.02;
/** …and a pause is quieter than this… */
const STOPS = 0.008;
/** …for so long: breath between two words is none. */
const PAUSE_MS = 700;
/** How long somebody must speak to get the floor: a cough does not. */
const FLOOR_MS = 600;

/** One's own voice among the levels; no id is as short (R8). */
export const OWN = 'self';

/** What `Speakers` are made of. */
export interface SpeakersOptions {
  readonly clock: Clock;
  /** The level of everybody whose microphone is on, by id; one's own as `OWN`, which never has the floor. */
  readonly levels: () => ReadonlyMap<string, number>;
  /** `speaking` or `floor` has changed. */
  readonly onChange: () => void;
}

/** Reads the levels from `start` until `stop`. */
export class Speakers {
  readonly #options: SpeakersOptions;
  /** Who speaks, since when, and when last heard. */
  #heard = new Map<string, { since: number; last: number }>();
  #floor: string | undefined;
  #timer: number | undefined;

  constructor(options: SpeakersOptions) {
    this.#options = options;
  }

  /** Whether this person speaks. */
  speaks(id: string): boolean {
    return this.#heard.has(id);
  }

  /** Who has spoken last, and not only for a moment. Whoever has the floor keeps it while speaking, and in silence. */
  get floor(): string | undefined {
    return this.#floor;
  }

  start(): void {
    const { clock } = this.#options;
    clock.clearTimeout(this.#timer);
    this.#timer = clock.setTimeout(() => {
      // First, so that whatever goes wrong in one reading is over with it.
      this.start();
      this.#read();
    }, READ_MS);
  }

  /** Nobody speaks any more, and nobody has the floor. */
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
      // The one who has spoken longest, which is the first: a map keeps its order.
      const next = [...this.#heard].find(([id, { since }]) => id !== OWN && now - since >= FLOOR_MS);
      if (next) this.#floor = next[0];
    }
    if ([...this.#heard.keys(), this.#floor].join() !== before) onChange();
  }
}
