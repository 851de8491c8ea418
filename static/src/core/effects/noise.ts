/** Noise suppression by RNNoise in an AudioWorklet (W3C Web Audio §1.32). Loaded on demand. */
import wasmUrl from '@jitsi/rnnoise-wasm/dist/rnnoise.wasm?url';
import { SAMPLE_RATE } from './denoiser';
import workletUrl from './noise.worklet?worker&url';
import type { TrackFilter } from './types';

let compiled: Promise<WebAssembly.Module> | undefined;

async function compile(): Promise<WebAssembly.Module> {
  const response = await fetch(wasmUrl);
  if (!response.ok) throw new Error(`${wasmUrl}: ${response.status}`);
  // No streaming compilation: not every web server sends the right content type.
  return WebAssembly.compile(await response.arrayBuffer());
}

/** Creates a track without the noise of the source track. */
export async function openNoiseFilter(source: MediaStreamTrack): Promise<TrackFilter> {
  compiled ??= compile();
  compiled.catch(() => {
    compiled = undefined;
  });
  const module = await compiled;
  const context = new AudioContext({ sampleRate: SAMPLE_RATE, latencyHint: 'interactive' });
  try {
    await context.audioWorklet.addModule(workletUrl);
    const input = context.createMediaStreamSource(new MediaStream([source]));
    const output = context.createMediaStreamDestination();
    output.channelCount = 1;
    const node = new AudioWorkletNode(context, 'noise', {
      channelCount: 1,
      channelCountMode: 'explicit',
      outputChannelCount: [1],
      processorOptions: module,
    });
    const [track] = output.stream.getAudioTracks();
    if (!track) throw new Error('no sound');
    const started = new Promise<void>((resolve, reject) => {
      node.onprocessorerror = () => {
        reject(new Error('The audio worklet failed.'));
      };
      void context.resume().then(resolve, reject);
    });
    input.connect(node).connect(output);
    await started;
    return {
      track,
      close: () => {
        track.stop();
        void context.close();
      },
    };
  } catch (error) {
    void context.close();
    throw error;
  }
}
