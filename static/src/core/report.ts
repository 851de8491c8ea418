/** Call quality reports for the operator (R82): numbers only, without identities. */
import type { LinkReport } from '../protocol/messages';
import type { Clock } from './clock';
import type { Sample } from './statistics';

/** Maximum number of links in a report. */
const LINKS = 64;
/** A later first frame comes from a camera that was off before, and says nothing about the link. */
const FIRST_FRAME_MS = 30_000;

/** Samples of one link, oldest first. */
export interface Measured {
  readonly id: string;
  readonly samples: readonly Sample[];
}

/** Options of a `Reporter`. */
export interface ReporterOptions {
  readonly clock: Clock;
  readonly links: () => readonly Measured[];
  readonly send: (links: LinkReport[]) => void;
}

/** Sends reports at the interval that the server asks for. */
export class Reporter {
  readonly #options: ReporterOptions;
  #timer: number | undefined;
  /** Time up to which samples have been reported. */
  #reported = 0;
  /** Ids of links whose first frame has been reported. */
  #seen = new Set<string>();

  constructor(options: ReporterOptions) {
    this.#options = options;
  }

  /** Starts reporting every `seconds`; `undefined` if the server asks for no reports. */
  start(seconds: number | undefined): void {
    this.stop();
    if (seconds === undefined) return;
    const { clock } = this.#options;
    this.#timer = clock.setTimeout(() => {
      this.#report();
      this.start(seconds);
    }, seconds * 1_000);
  }

  stop(): void {
    this.#options.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #report(): void {
    const { clock, links: measured, send } = this.#options;
    const since = this.#reported;
    this.#reported = clock.now();
    const all = measured();
    this.#seen = new Set(all.map(({ id }) => id).filter((id) => this.#seen.has(id)));
    const links = all
      .slice(0, LINKS)
      .map(({ id, samples }) => this.#linkReport(id, samples, since))
      .filter((link) => link !== undefined);
    if (links.length > 0) send(links);
  }

  #linkReport(id: string, samples: readonly Sample[], since: number): LinkReport | undefined {
    const report = reportOf(samples, since);
    const first = this.#seen.has(id)
      ? undefined
      : samples.find(({ firstFrameMs }) => firstFrameMs !== undefined);
    if (!report || first?.firstFrameMs === undefined) return report;
    this.#seen.add(id);
    return first.firstFrameMs > FIRST_FRAME_MS ? report : { ...report, first_frame_ms: first.firstFrameMs };
  }
}

/**
 * Builds the report of a link from the samples after `since`; `undefined` if there are none. Values that were not
 * measured are omitted, since zeros would count as perfect.
 */
export function reportOf(samples: readonly Sample[], since: number): LinkReport | undefined {
  const recent = samples.filter(({ at }) => at > since);
  const last = recent.at(-1);
  if (!last) return undefined;
  const before = samples[samples.length - recent.length - 1]?.received;
  const { received, roundTripMs, path } = last;
  const heard = recent.map((sample) => sample.received).filter(({ packets }) => packets > 0);
  const packets = sum(heard.map((flow) => flow.packets));
  const lost = sum(heard.map((flow) => (flow.lossPercent / 100) * flow.packets));
  const jitters = heard.map(({ jitterMs }) => jitterMs).filter((ms) => ms !== undefined);
  return {
    ...(roundTripMs !== undefined && { round_trip_ms: bounded(roundTripMs, 60_000) }),
    ...(packets > 0 && { loss_percent: Math.min(100, Math.round((lost / packets) * 1_000) / 10) }),
    ...(jitters.length > 0 && { jitter_ms: bounded(Math.max(...jitters), 60_000) }),
    // Without a moving picture, a freeze may have begun, which the browser reports only after its end.
    ...(received.width !== undefined && {
      // The browser's counters restart with a new connection.
      freezes: bounded(received.freezes - (before?.freezes ?? 0), 1_000),
      frozen_ms: bounded(received.frozenMs - (before?.frozenMs ?? 0), 600_000),
      width: bounded(received.width, 16_384),
    }),
    ...(received.height !== undefined && { height: bounded(received.height, 16_384) }),
    ...(received.fps !== undefined && { fps: bounded(received.fps, 240) }),
    kbps: bounded(sum(recent.map((sample) => sample.received.kbps)) / recent.length, 10_000_000),
    ...(path && { relayed: path.relayed }),
  };
}

function bounded(value: number, most: number): number {
  return Math.min(most, Math.max(0, Math.round(value)));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
