/**
 * Decides the bitrate and resolution of what each peer is sent. In a mesh the uplink carries one copy per peer, so
 * each copy shrinks as people join. Pure: `planFor` computes a plan, `videoParameters` and `audioParameters` turn it
 * into sender parameters (W3C WebRTC §5.2).
 */

/** The user's quality setting: how much the meeting may send and receive. */
export const QUALITIES = ['auto', 'high', 'saver', 'audio'] as const;
export type Quality = (typeof QUALITIES)[number];

/** Values of a receiver's request to another page: send everything, send less, or send no camera. */
export const RECEPTIONS = ['all', 'less', 'no_camera'] as const;
export type Reception = (typeof RECEPTIONS)[number];

/** Upper bounds on what is sent. */
interface Bounds {
  /** Total over all copies, including packet headers and sound. */
  readonly uplinkKbps: number;
  readonly cameraKbps: number;
  readonly screenKbps: number;
  /** Opus bitrate for a voice. */
  readonly voiceKbps: number;
}

/** Default bounds. A tile does not need a larger picture. */
const USUAL: Bounds = { uplinkKbps: 3_500, cameraKbps: 1_500, screenKbps: 2_500, voiceKbps: 40 };
const BOUNDS: Readonly<Record<Quality, Bounds>> = {
  auto: USUAL,
  // This setting limits what is received. What is sent depends on the receivers.
  audio: USUAL,
  high: { uplinkKbps: 10_000, cameraKbps: 3_000, screenKbps: 5_000, voiceKbps: 64 },
  saver: { uplinkKbps: 1_000, cameraKbps: 250, screenKbps: 600, voiceKbps: 24 },
};
/** Upper bounds for a receiver that asked for `less`. */
const LESS = BOUNDS.saver;
/** The request sent to the other pages for each quality setting. */
export const RECEPTION_OF: Readonly<Record<Quality, Reception>> = {
  auto: 'all',
  high: 'all',
  saver: 'less',
  audio: 'no_camera',
};

/** Default bound on the total of all copies. */
export const UPLINK_KBPS = USUAL.uplinkKbps;
/** Opus bitrate for the sound of a shared screen. */
const SCREEN_SOUND_KBPS = 64;
/** Share of the bandwidth left for payload after RTP, SRTP, UDP and IP headers and retransmissions. */
const PAYLOAD_SHARE = 0.9;
/** Share of the video budget that the camera keeps while a screen is shared. */
const CAMERA_SHARE = 0.25;
/** Lower bound for video: below this a picture is unusable. */
const VIDEO_MIN_KBPS = 50;
/** Smallest improvement that justifies a change. */
const BETTER = 1.2;

/** A step of a quality ladder: the bitrate that a picture of this height and frame rate needs. */
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
/** Text must stay legible, so the frame rate of a screen drops before its resolution. */
const SCREEN: readonly Rung[] = [
  { kbps: 0, height: 720, fps: 3 },
  { kbps: 200, height: 1_080, fps: 5 },
  { kbps: 600, height: 1_080, fps: 15 },
  { kbps: 1_500, height: 1_440, fps: 30 },
];

/** Send settings of one picture. */
export interface VideoPlan {
  readonly maxKbps: number;
  readonly height: number;
  readonly fps: number;
  /** Index in the ladder, used as the starting point of the next plan. */
  readonly rung: number;
}

/** Send settings for one peer. */
export interface Plan {
  readonly voiceKbps: number;
  readonly screenSoundKbps: number;
  readonly camera: VideoPlan;
  readonly screen: VideoPlan;
}

/** Inputs of a plan. */
export interface Situation {
  /** Number of peers that media is sent to. */
  readonly people: number;
  /** A screen is shared in addition to the camera. */
  readonly sharing: boolean;
  /** Estimated bandwidth towards this peer; `undefined` until it is known. */
  readonly availableKbps: number | undefined;
  /** The user's quality setting. */
  readonly quality?: Quality;
  /** The peer's request. */
  readonly reception?: Reception;
}

/** Computes the send settings for one peer. Bitrates fall at once and rise only where it is worth it. */
export function planFor(situation: Situation, before?: Plan): Plan {
  const { people, sharing, availableKbps, quality = 'auto', reception = 'all' } = situation;
  const bounds = BOUNDS[quality];
  const least = (bound: 'cameraKbps' | 'screenKbps' | 'voiceKbps'): number =>
    reception === 'less' ? Math.min(bounds[bound], LESS[bound]) : bounds[bound];
  const voiceKbps = least('voiceKbps');
  const share = bounds.uplinkKbps / Math.max(1, people);
  const screenSoundKbps = sharing ? SCREEN_SOUND_KBPS : 0;
  // Audio is subtracted first, whatever the bandwidth: only the picture gives way.
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
  // An increase to the maximum is always taken. The maximum does not fluctuate, and must be reachable from just below
  // it.
  const tooLittle =
    before !== undefined && kbps > before.maxKbps && kbps < most && kbps < before.maxKbps * BETTER;
  const rung = nextRung(ladder, kbps, before?.rung);
  const { height, fps } = ladder[rung] ?? { height: 180, fps: 12 };
  return { maxKbps: tooLittle ? before.maxKbps : kbps, height, fps, rung };
}

/** Returns the best rung that fits. A rung above the previous one must fit with a margin of `BETTER`. */
function nextRung(ladder: readonly Rung[], kbps: number, before: number | undefined): number {
  const fits = ladder.findLastIndex((rung) => rung.kbps <= kbps);
  if (before === undefined || fits <= before) return fits;
  return Math.max(
    before,
    ladder.findLastIndex((rung) => rung.kbps * BETTER <= kbps),
  );
}

/**
 * Returns the sender parameters for a picture whose source has the given height; `undefined` if they are already set.
 */
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

/**
 * Returns the sender parameters for audio, which has priority over all pictures; `undefined` if they are already set.
 */
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
  // There is no encoding before the first negotiation.
  if (!encoding) return undefined;
  const keys = Object.keys(wanted) as (keyof typeof wanted)[];
  if (keys.every((key) => encoding[key] === wanted[key])) return undefined;
  return { ...present, encodings: [{ ...encoding, ...wanted }, ...present.encodings.slice(1)] };
}
