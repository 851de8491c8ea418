/** The browser's implementation of a studio: canvas, Web Audio, MediaRecorder, and a worker for timing. */
import tickerUrl from './ticker?worker&url';
import type { Canvas, Encoder, EncoderListener, Mixer, Projector, Studio } from './types';

/** Enough for faces and text at 1280×720; about 19 MB per minute with the sound. */
const VIDEO_BITS = 2_400_000;
const AUDIO_BITS = 128_000;
/** Interval of the recorder's chunks, and thus the most that is lost in a crash, in milliseconds. */
const PIECE_MS = 1_000;

interface TrustedTypes {
  createPolicy(name: string, rules: object): { createScriptURL(url: string): string };
}

/**
 * The only script URL that the page creates dynamically, for servers whose Content-Security-Policy has
 * `require-trusted-types-for 'script'` (src/http/site.rs). The DOM types lack Trusted Types.
 */
const policy = (globalThis as { trustedTypes?: TrustedTypes }).trustedTypes?.createPolicy('roundtable', {
  createScriptURL: () => tickerUrl,
});

/** Studio of this browser. */
export const browserStudio: Studio = {
  isFaithful,
  newCanvas,
  newMixer,
  newProjector,
  newEncoder,
  everySoOften,
};

/**
 * Tolerated deviation: some fingerprinting protections change each value by one or two, which does not harm the
 * picture.
 */
const NOISE = 8;

function isFaithful(): boolean {
  const colours = ['#d02040', '#20b060', '#2040d0', '#101010'];
  const canvas = Object.assign(document.createElement('canvas'), { width: colours.length, height: 1 });
  const brush = canvas.getContext('2d', { alpha: false, willReadFrequently: true });
  if (brush === null) return false;
  for (const [x, colour] of colours.entries()) {
    brush.fillStyle = colour;
    brush.fillRect(x, 0, 1, 1);
  }
  const { data } = brush.getImageData(0, 0, colours.length, 1);
  return colours.every((colour, x) =>
    [0, 1, 2].every((part) => {
      const drawn = Number.parseInt(colour.slice(1 + 2 * part, 3 + 2 * part), 16);
      return Math.abs((data[4 * x + part] ?? 0) - drawn) <= NOISE;
    }),
  );
}

function newCanvas(width: number, height: number, fps: number): Canvas {
  const canvas = Object.assign(document.createElement('canvas'), { width, height });
  const brush = canvas.getContext('2d', { alpha: false });
  const [track] = canvas.captureStream(fps).getVideoTracks();
  if (brush === null || track === undefined) throw new Error('no canvas');
  return {
    brush,
    track,
    close: () => {
      track.stop();
    },
  };
}

function newMixer(): Mixer {
  const context = new AudioContext();
  try {
    return mixerIn(context);
  } catch (error) {
    // Browsers limit the number of audio contexts and keep unclosed ones.
    void context.close();
    throw error;
  }
}

function mixerIn(context: AudioContext): Mixer {
  const sum = context.createMediaStreamDestination();
  // A silent source: without it some browsers start the file with the first voice.
  const ground = context.createConstantSource();
  ground.offset.value = 0;
  ground.connect(sum);
  ground.start();
  void context.resume();
  const [track] = sum.stream.getAudioTracks();
  if (track === undefined) throw new Error('no sound');
  return {
    track,
    add: (each) => {
      const source = context.createMediaStreamSource(new MediaStream([each]));
      source.connect(sum);
      return () => {
        source.disconnect();
      };
    },
    close: () => {
      track.stop();
      void context.close();
    },
  };
}

function newProjector(stream: MediaStream): Projector {
  const video = Object.assign(document.createElement('video'), { muted: true, playsInline: true });
  const show = (): void => {
    // Video only, as the mixer handles the sound. A new connection replaces the tracks.
    video.srcObject = new MediaStream(stream.getVideoTracks());
    // It may be closed before playback starts.
    video.play().catch(() => undefined);
  };
  show();
  return {
    get frame() {
      const shown = video.srcObject instanceof MediaStream ? video.srcObject.getVideoTracks() : [];
      if (shown[0] !== stream.getVideoTracks()[0]) show();
      if (video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA || video.videoWidth === 0) return undefined;
      return { image: video, width: video.videoWidth, height: video.videoHeight };
    },
    close: () => {
      video.srcObject = null;
    },
  };
}

function newEncoder(
  tracks: readonly MediaStreamTrack[],
  mimeType: string,
  { onPiece, onEnd }: EncoderListener,
): Encoder {
  const recorder = new MediaRecorder(new MediaStream([...tracks]), {
    mimeType,
    videoBitsPerSecond: VIDEO_BITS,
    audioBitsPerSecond: AUDIO_BITS,
  });
  let error: unknown;
  recorder.ondataavailable = ({ data }) => {
    onPiece(data);
  };
  recorder.onerror = (event) => {
    error = (event as { error?: unknown }).error ?? event;
  };
  recorder.onstop = () => {
    onEnd(error);
  };
  recorder.start(PIECE_MS);
  return {
    stop: () => {
      if (recorder.state !== 'inactive') recorder.stop();
    },
  };
}

/**
 * Calls back periodically from a worker: the timers of a hidden page are throttled to one per second, those of its
 * workers are not.
 */
function everySoOften(milliseconds: number, call: () => void): () => void {
  const worker = new Worker(policy?.createScriptURL(tickerUrl) ?? tickerUrl, { type: 'module' });
  worker.onmessage = call;
  worker.postMessage(milliseconds);
  return () => {
    worker.terminate();
  };
}
