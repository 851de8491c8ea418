/** Noise suppression in the browser's audio thread. */
import { Denoiser, Framer } from './denoiser';

// The DOM types lack the global scope of worklets.
interface Processor {
  process(inputs: Float32Array[][], outputs: Float32Array[][]): boolean;
}
type ProcessorConstructor = new (options: AudioWorkletNodeOptions) => Processor;
declare const AudioWorkletProcessor: new (options: AudioWorkletNodeOptions) => object;
declare function registerProcessor(name: string, processor: ProcessorConstructor): void;

registerProcessor(
  'noise',
  class extends AudioWorkletProcessor {
    readonly #framer: Framer;

    constructor(options: AudioWorkletNodeOptions) {
      super(options);
      const denoiser = new Denoiser(options.processorOptions as WebAssembly.Module);
      this.#framer = new Framer((frame) => {
        denoiser.process(frame);
      });
    }

    process(inputs: Float32Array[][], outputs: Float32Array[][]): boolean {
      const [input, output] = [inputs[0]?.[0], outputs[0]?.[0]];
      // Without an input the source has ended, and the context is about to be closed.
      if (input && output) this.#framer.push(input, output);
      return true;
    }
  },
);
