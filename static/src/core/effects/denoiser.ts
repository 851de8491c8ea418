/** RNNoise (https://jmvalin.ca/demo/rnnoise) as WebAssembly, without browser APIs. */

/** Samples processed at a time: 10 ms at 48 kHz. */
export const FRAME_SAMPLES = 480;
export const SAMPLE_RATE = 48_000;
/** RNNoise takes samples in the range of 16-bit integers. */
const SCALE = 32_768;
const PAGE_BYTES = 65_536;

/**
 * Exports of rnnoise.wasm. The build minifies names, in the order of build.sh of @jitsi/rnnoise-wasm. The package
 * version is pinned, and denoiser.test.ts fails if another version has other names.
 */
interface Exports {
  /** Memory. */
  readonly c: WebAssembly.Memory;
  /** Runs the constructors. */
  readonly d: () => void;
  /** `rnnoise_create` */
  readonly f: (model: number) => number;
  /** `malloc` */
  readonly g: (bytes: number) => number;
  /** `rnnoise_process_frame` */
  readonly j: (state: number, output: number, input: number) => number;
}

/** Noise suppressor for one voice. */
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

  /** Removes noise from a frame, in place. */
  process(frame: Float32Array): void {
    const samples = new Float32Array(this.#exports.c.buffer, this.#buffer, FRAME_SAMPLES);
    for (let at = 0; at < FRAME_SAMPLES; at++) samples[at] = (frame[at] ?? 0) * SCALE;
    this.#exports.j(this.#state, this.#buffer, this.#buffer);
    // The memory may have grown, which detaches the old buffer.
    const result = new Float32Array(this.#exports.c.buffer, this.#buffer, FRAME_SAMPLES);
    for (let at = 0; at < FRAME_SAMPLES; at++) frame[at] = (result[at] ?? 0) / SCALE;
  }
}

/** Splits blocks of any length into frames and delivers the processed frames as blocks, one frame later. */
export class Framer {
  readonly #process: (frame: Float32Array) => void;
  readonly #input = new Float32Array(FRAME_SAMPLES);
  readonly #output = new Float32Array(FRAME_SAMPLES);
  /** Number of samples in the frame being filled; equally many remain unread of the previous frame. */
  #filled = 0;

  constructor(process: (frame: Float32Array) => void) {
    this.#process = process;
  }

  /** Takes a block and fills `output`, of the same length, with the processed samples of one frame earlier. */
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
