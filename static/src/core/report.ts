/** How good a call is, for whoever runs the server (R82): numbers, and nothing of who it is with. */
import type { LinkReport } from '../protocol/messages';
import type { Clock } from './clock';
import type { Sample } from './statistics';

/** The most links of a report. */
const LINKS = 64;
/** A first picture that comes later is one of a camera that was off before, and says nothing of the link. */
const FIRST_FRAME_MS = 30_000;

/** What was measured of one link, oldest first. */
export interface Measured {
  readonly id: string;
  readonly samples: readonly Sample[];
}

/** What a `Reporter` is made of. */
export interface ReporterOptions {
  readonly clock: Clock;
  readonly links: () => readonly Measured[];
  readonly send: (links: LinkReport[]) => void;
}

/** Reports as often as the server asks for it. */
export class Reporter {
  readonly #options: ReporterOptions;
  #timer: number | undefined;
  /** Until when has been reported. */
  #reported = 0;
  /** Of which links the first picture has been reported. */
  #seen = new Set<string>();

  constructor(options: ReporterOptions) {
    this.#options = options;
  }

  /** `undefined`: nobody asks. */
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
 * The report of a link over the samples after `since`; `undefined` where there is none. What nothing was measured of is
 * absent, rather than perfect.
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
    // Where no picture moves, a freeze may have begun, which the browser does not tell before its end.
    ...(received.width !== undefined && {
      // The browser counts anew where the connection was made anew.
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
