import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { expect, test } from 'vitest';
import { Denoiser, FRAME_SAMPLES, Framer, SAMPLE_RATE } from './denoiser';

const path = createRequire(import.meta.url).resolve('@jitsi/rnnoise-wasm/dist/rnnoise.wasm');
const module = new WebAssembly.Module(readFileSync(path));

/** White noise, the same in each run (a linear congruential generator). */
function noise(samples: number, amplitude: number): Float32Array {
  let state = 1;
  return Float32Array.from({ length: samples }, () => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return (state / 2 ** 30 - 1) * amplitude;
  });
}

const rms = (samples: Float32Array): number =>
  Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length);

/** Returns the last second of the denoised input. */
function denoised(input: Float32Array): Float32Array {
  const denoiser = new Denoiser(module);
  for (let at = 0; at + FRAME_SAMPLES <= input.length; at += FRAME_SAMPLES)
    denoiser.process(input.subarray(at, at + FRAME_SAMPLES));
  return input.subarray(-SAMPLE_RATE);
}

test('takes a steady noise down by 10 decibels and more', () => {
  const before = noise(3 * SAMPLE_RATE, 0.05);
  const loud = rms(before);
  expect(rms(denoised(before))).toBeLessThan(loud / 10 ** 0.5);
});

test('silence stays silence', () => {
  expect(rms(denoised(new Float32Array(2 * SAMPLE_RATE)))).toBeLessThan(1e-6);
});

test('two voices have nothing to do with each other', () => {
  const alone = denoised(noise(SAMPLE_RATE, 0.3)).slice();
  const other = new Denoiser(module);
  other.process(noise(FRAME_SAMPLES, 0.9));
  expect(denoised(noise(SAMPLE_RATE, 0.3))).toEqual(alone);
});

test.each([128, 1, 480, 999])('blocks of %i samples come out a frame later, whole and in order', (size) => {
  const framer = new Framer((frame) => {
    for (const [at, sample] of frame.entries()) frame[at] = -sample;
  });
  const input = Float32Array.from({ length: 4 * 999 }, (_, at) => at + 1);
  const output = new Float32Array(input.length);
  for (let at = 0; at < input.length; at += size)
    framer.push(input.subarray(at, at + size), output.subarray(at, at + size));
  expect(output.subarray(0, FRAME_SAMPLES).every((sample) => sample === 0)).toBe(true);
  const expected = input.subarray(0, -FRAME_SAMPLES).map((sample) => -sample);
  expect(output.subarray(FRAME_SAMPLES)).toEqual(expected);
});
