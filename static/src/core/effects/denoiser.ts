/** RNNoise (https://jmvalin.ca/demo/rnnoise) as WebAssembly, without a browser. */

/** Samples that are processed at a time: 10 ms at 48 kHz. */
export const FRAME_SAMPLES = 480;
export const SAMPLE_RATE = 48_000;
/** RNNoise takes samples in the range of 16-bit integers. */
const SCALE = 32_768;
const PAGE_BYTES = 65_536;

/**
 * What rnnoise.wasm exports: its build has short names, in the order of build.sh of @jitsi/rnnoise-wasm. The version of the
 * package is pinned, and denoiser.test.ts fails where another one has other names.
 */
interface Exports {
  /** The memory. */
  readonly c: WebAssembly.Memory;
  /** Runs constructors. */
  readonly d: () => void;
  /** `rnnoise_create` */
  readonly f: (model: number) => number;
  /** `malloc` */
  readonly g: (bytes: number) => number;
  /** `rnnoise_process_frame` */
  readonly j: (state: number, output: number, input: number) => number;
}

/** One voice. */
export class Denoiser {
  readonly #exports: Exports;
  readonly #state: number;
  readonly #buffer: number;

  constructor(module: WebAssembly.Module) {
    const memory = (): Uint8Array => new Uint8Array(this.#exports.c.buffer);
    const { exports } = new WebAssembly.Instance(module, {
      a: {
        // emscripten_resize_heap
        a: (bytes: number): number => {
          const missing = Math.ceil((bytes >>> 0) / PAGE_BYTES) - memory().length / PAGE_BYTES;
          return this.#exports.c.grow(missing) >= 0 ? 1 : 0;
        },
        // emscripten_memcpy_big
        b: (to: number, from: number, bytes: number): void => {
          memory().copyWithin(to, from, from + bytes);
        },
      },
    });
    this.#exports = exports as unknown as Exports;
    this.#exports.d();
    this.#state = this.#exports.f(0);
    this.#buffer = this.#exports.g(FRAME_SAMPLES * Float32Array.BYTES_PER_ELEMENT);
  }

  /** Takes the noise out of a frame, in place. */
  process(frame: Float32Array): void {
    const samples = new Float32Array(this.#exports.c.buffer, this.#buffer, FRAME_SAMPLES);
    for (let at = 0; at < FRAME_SAMPLES; at++) samples[at] = (frame[at] ?? 0) * SCALE;
    this.#exports.j(this.#state, this.#buffer, this.#buffer);
    // The memory may have grown.
    const result = new Float32Array(this.#exports.c.buffer, this.#buffer, FRAME_SAMPLES);
    for (let at = 0; at < FRAME_SAMPLES; at++) frame[at] = (result[at] ?? 0) / SCALE;
  }
}

/** Makes frames of blocks of any length, and blocks of frames, a frame later. */
export class Framer {
  readonly #process: (frame: Float32Array) => void;
  readonly #input = new Float32Array(FRAME_SAMPLES);
  readonly #output = new Float32Array(FRAME_SAMPLES);
  /** Samples of the frame that is being filled; as many are left to give of the one before. */
  #filled = 0;

  constructor(process: (frame: Float32Array) => void) {
    this.#process = process;
  }

  /** Takes a block, and fills `output`, which is as long, with what came a frame before. */
  push(input: Float32Array, output: Float32Array): void {
    for (let at = 0; at < input.length; at++) {
      output[at] = this.#output[this.#filled] ?? 0;
      this.#input[this.#filled] = input[at] ?? 0;
      this.#filled += 1;
      if (this.#filled < FRAME_SAMPLES) continue;
      this.#filled = 0;
      this.#output.set(this.#input);
      this.#process(this.#output);
    }
  }
}
