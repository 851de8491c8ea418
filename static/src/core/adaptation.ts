/**
 * How much to send to each person. In a mesh one's uplink carries a copy for everyone, so each copy shrinks
 * as people come. Pure: `planFor` says what to send, `parametersFor` how a sender is told (W3C WebRTC §5.2).
 */

/** How much a person lets the meeting send and receive. */
export const QUALITIES = ['auto', 'high', 'saver', 'audio'] as const;
export type Quality = (typeof QUALITIES)[number];

/** What a page asks another one to send it: everything, less of it, or everything but the camera. */
export const RECEPTIONS = ['all', 'less', 'no_camera'] as const;
export type Reception = (typeof RECEPTIONS)[number];

/** Upper bounds of what is sent. */
interface Bounds {
  /** All copies together, packets' headers and sound included. */
  readonly uplinkKbps: number;
  readonly cameraKbps: number;
  readonly screenKbps: number;
  /** Opus for a voice. */
  readonly voiceKbps: number;
}

/** A tile has no use for a larger picture. */
const USUAL: Bounds = { uplinkKbps: 3_500, cameraKbps: 1_500, screenKbps: 2_500, voiceKbps: 40 };
const BOUNDS: Readonly<Record<Quality, Bounds>> = {
  auto: USUAL,
  // Less is received; what is sent is up to those who receive it.
  audio: USUAL,
  high: { uplinkKbps: 10_000, cameraKbps: 3_000, screenKbps: 5_000, voiceKbps: 64 },
  saver: { uplinkKbps: 1_000, cameraKbps: 250, screenKbps: 600, voiceKbps: 24 },
};
/** What a person who saves data is sent at most. */
const LESS = BOUNDS.saver;
/** What is asked of others. */
export const RECEPTION_OF: Readonly<Record<Quality, Reception>> = {
  auto: 'all',
  high: 'all',
  saver: 'less',
  audio: 'no_camera',
};

/** What all copies together may take, unless the person chose otherwise. */
export const UPLINK_KBPS = USUAL.uplinkKbps;
/** Opus for the sound of a screen. */
const SCREEN_SOUND_KBPS = 64;
/** Headers of RTP, SRTP, UDP and IP, retransmissions: a share of everything. */
const PAYLOAD_SHARE = 0.9;
/** What the camera keeps of the picture's share beside a screen. */
const CAMERA_SHARE = 0.25;
/** Below this a picture is none. */
const VIDEO_MIN_KBPS = 50;
/** Less than this much better is no reason to change. */
const BETTER = 1.2;

/** What a picture of some height and rate needs to look well. */
interface Rung {
  readonly kbps: number;
  readonly height: number;
  readonly fps: number;
}

const CAMERA: readonly Rung[] = [
  { kbps: 0, height: 180, fps: 12 },
  { kbps: 140, height: 180, fps: 20 },
  { kbps: 220, height: 270, fps: 24 },
  { kbps: 360, height: 360, fps: 30 },
  { kbps: 800, height: 540, fps: 30 },
  { kbps: 1_200, height: 720, fps: 30 },
];
/** Text must stay legible: a screen gets slower before it gets smaller. */
const SCREEN: readonly Rung[] = [
  { kbps: 0, height: 720, fps: 3 },
  { kbps: 200, height: 1_080, fps: 5 },
  { kbps: 600, height: 1_080, fps: 15 },
  { kbps: 1_500, height: 1_440, fps: 30 },
];

/** What is to be sent of one picture. */
export interface VideoPlan {
  readonly maxKbps: number;
  readonly height: number;
  readonly fps: number;
  /** For the next plan to know where it came from. */
  readonly rung: number;
}

/** What is to be sent to one person. */
export interface Plan {
  readonly voiceKbps: number;
  readonly screenSoundKbps: number;
  readonly camera: VideoPlan;
  readonly screen: VideoPlan;
}

/** What a plan is made from. */
export interface Situation {
  /** How many people one sends to. */
  readonly people: number;
  /** A screen is shared beside the camera. */
  readonly sharing: boolean;
  /** What the way to this person was measured to carry; `undefined` before that is known. */
  readonly availableKbps: number | undefined;
  /** What this person chose. */
  readonly quality?: Quality;
  /** What the other one asks for. */
  readonly reception?: Reception;
}

/** What to send to one person. Bitrates fall at once and rise only where it is worth it. */
export function planFor(situation: Situation, before?: Plan): Plan {
  const { people, sharing, availableKbps, quality = 'auto', reception = 'all' } = situation;
  const bounds = BOUNDS[quality];
  const least = (bound: 'cameraKbps' | 'screenKbps' | 'voiceKbps'): number =>
    reception === 'less' ? Math.min(bounds[bound], LESS[bound]) : bounds[bound];
  const voiceKbps = least('voiceKbps');
  const share = bounds.uplinkKbps / Math.max(1, people);
  const screenSoundKbps = sharing ? SCREEN_SOUND_KBPS : 0;
  // Sound is taken off first, whatever the way carries: what is short is the picture.
  const budget = Math.min(share, availableKbps ?? Infinity) * PAYLOAD_SHARE - voiceKbps - screenSoundKbps;
  const camera = sharing ? Math.max(VIDEO_MIN_KBPS, budget * CAMERA_SHARE) : budget;
  return {
    voiceKbps,
    screenSoundKbps,
    camera: videoPlan(CAMERA, camera, least('cameraKbps'), before?.camera),
    screen: videoPlan(SCREEN, budget - camera, least('screenKbps'), before?.screen),
  };
}

function videoPlan(
  ladder: readonly Rung[],
  budget: number,
  most: number,
  before: VideoPlan | undefined,
): VideoPlan {
  const kbps = Math.floor(Math.max(VIDEO_MIN_KBPS, Math.min(budget, most)));
  // The most there is does not waver, and must be in reach from right below it.
  const tooLittle =
    before !== undefined && kbps > before.maxKbps && kbps < most && kbps < before.maxKbps * BETTER;
  const rung = nextRung(ladder, kbps, before?.rung);
  const { height, fps } = ladder[rung] ?? { height: 180, fps: 12 };
  return { maxKbps: tooLittle ? before.maxKbps : kbps, height, fps, rung };
}

/** The best rung that fits; a better one than before only where it fits with room to spare. */
function nextRung(ladder: readonly Rung[], kbps: number, before: number | undefined): number {
  const fits = ladder.findLastIndex((rung) => rung.kbps <= kbps);
  if (before === undefined || fits <= before) return fits;
  return Math.max(
    before,
    ladder.findLastIndex((rung) => rung.kbps * BETTER <= kbps),
  );
}

/** What a sender is told of a picture whose source has some height; `undefined` where it knows already. */
export function videoParameters(
  present: RTCRtpSendParameters,
  plan: VideoPlan,
  sourceHeight: number | undefined,
): RTCRtpSendParameters | undefined {
  const scale = sourceHeight === undefined ? 1 : Math.max(1, sourceHeight / plan.height);
  return changed(present, {
    maxBitrate: plan.maxKbps * 1_000,
    maxFramerate: plan.fps,
    scaleResolutionDownBy: Math.round(scale * 100) / 100,
  });
}

/** What a sender is told of a sound, which goes before all pictures; `undefined` where it knows already. */
export function audioParameters(
  present: RTCRtpSendParameters,
  kbps: number,
): RTCRtpSendParameters | undefined {
  // A screen's sound that is not sent needs no limit.
  if (kbps === 0) return undefined;
  return changed(present, { maxBitrate: kbps * 1_000, priority: 'high' });
}

function changed(
  present: RTCRtpSendParameters,
  wanted: Partial<RTCRtpEncodingParameters>,
): RTCRtpSendParameters | undefined {
  const [encoding] = present.encodings;
  // There is none before the first negotiation.
  if (!encoding) return undefined;
  const keys = Object.keys(wanted) as (keyof typeof wanted)[];
  if (keys.every((key) => encoding[key] === wanted[key])) return undefined;
  return { ...present, encodings: [{ ...encoding, ...wanted }, ...present.encodings.slice(1)] };
}
