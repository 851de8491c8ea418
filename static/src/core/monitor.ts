/** Measures every link every two seconds and keeps the last minutes of each. */
import type { Clock } from './clock';
import { type LinkQuality, qualityOf } from './quality';
import { type Counters, countersOf, HISTORY_MS, type Sample, SAMPLE_MS, sampleOf } from './statistics';
import type { LinkState } from './types';

/** Number of samples after which the browser's bandwidth estimate has settled; before, it still climbs. */
const SETTLED_SAMPLES = 4;

/** A peer that is measured. */
export interface MeasuredPeer {
  readonly link: LinkState;
  /** When the link began, on the monitor's clock. */
  readonly since: number;
  stats(): Promise<Pick<RTCStatsReport, 'forEach'> | undefined>;
}

/** Options of a `Monitor`. */
export interface MonitorOptions {
  readonly clock: Clock;
  /** Returns the peers to measure, by id; called for each measurement. */
  readonly peers: () => ReadonlyMap<string, MeasuredPeer>;
  /** Called when there are new samples. */
  readonly onMeasured: () => void;
  readonly onError: (error: unknown) => void;
}

interface History {
  samples: readonly Sample[];
  counters: Counters | undefined;
  quality: LinkQuality | undefined;
}

/** Link measurements of one meeting. */
export class Monitor {
  readonly #options: MonitorOptions;
  readonly #histories = new Map<string, History>();
  #timer: number | undefined;

  constructor(options: MonitorOptions) {
    this.#options = options;
  }

  /** Starts measuring, as long as there are peers. */
  run(): void {
    if (this.#timer !== undefined) return;
    this.#timer = this.#options.clock.setTimeout(() => {
      this.#timer = undefined;
      void this.#measureAll();
      if (this.#options.peers().size > 0) this.run();
    }, SAMPLE_MS);
  }

  close(): void {
    this.#options.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#histories.clear();
  }

  /** Returns the samples of a peer, oldest first. */
  samples(id: string): readonly Sample[] {
    return this.#histories.get(id)?.samples ?? [];
  }

  /** Returns the link quality as of the last measurement. */
  quality(id: string): LinkQuality | undefined {
    return this.#histories.get(id)?.quality;
  }

  /** Returns the estimated bandwidth towards a peer, once it has settled. */
  availableKbps(id: string): number | undefined {
    const known = this.samples(id).map(({ sent }) => sent.availableKbps);
    return known.filter((kbps) => kbps !== undefined).length < SETTLED_SAMPLES ? undefined : known.at(-1);
  }

  async #measureAll(): Promise<void> {
    const peers = this.#options.peers();
    for (const id of this.#histories.keys()) if (!peers.has(id)) this.#histories.delete(id);
    await Promise.all([...peers].map(([id, peer]) => this.#measure(id, peer)));
    this.#options.onMeasured();
  }

  async #measure(id: string, peer: MeasuredPeer): Promise<void> {
    try {
      const at = this.#options.clock.now();
      const stats = await peer.stats();
      if (!stats || !this.#options.peers().has(id)) return;
      const { samples = [], counters: before } = this.#histories.get(id) ?? {};
      const counters = countersOf(stats, at);
      const next = [
        ...samples.filter((sample) => at - sample.at < HISTORY_MS),
        sampleOf(counters, before, peer.since),
      ];
      this.#histories.set(id, { samples: next, counters, quality: qualityOf(peer.link, next) });
    } catch (error) {
      this.#options.onError(error);
    }
  }
}
