// How Chromium is started.

import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The browser as users have it, for tests that need its permission prompts, its audio outputs or its page cache. */
export const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';

/** The same engine without the browser's own interface, where it is installed: a third of the processor time less. */
export const engine = process.env.CHROMIUM_HEADLESS_SHELL || executablePath;

/** Nothing in the background, no QUIC, which would go past the tests' proxies, and sound without a click. */
export const quiet = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--autoplay-policy=no-user-gesture-required',
];

/** A camera with ten pictures a second, half of the default, and a microphone. */
export const fakeDevices = ['--use-fake-device-for-media-stream=fps=10'];

/** Whoever is asked for them says yes. */
export const allowDevices = ['--use-fake-ui-for-media-stream'];

const folder = fileURLToPath(new URL('../../../test-results/', import.meta.url));

/** Writes a film for a camera, ten green pictures a second with a bar that moves down, and returns its path. */
function film(width, height) {
  const pixels = width * height;
  const pictures = Array.from({ length: 10 }, (_, at) => {
    const luma = Buffer.alloc(pixels, 60).fill(200, (at * pixels) / 10, ((at + 1) * pixels) / 10);
    return Buffer.concat([Buffer.from('FRAME\n'), luma, Buffer.alloc(pixels / 2, 90)]);
  });
  const path = `${folder}camera.y4m`;
  // Each worker writes the same.
  const own = `${path}.${process.pid}`;
  mkdirSync(folder, { recursive: true });
  writeFileSync(own, Buffer.concat([Buffer.from(`YUV4MPEG2 W${width} H${height} F10:1 C420jpeg\n`), ...pictures]));
  renameSync(own, path);
  return path;
}

/** In place of the camera of `fakeDevices`, which has 16 times as many pixels to encode and decode. */
export const smallCamera = [`--use-file-for-fake-video-capture=${film(320, 180)}`];
