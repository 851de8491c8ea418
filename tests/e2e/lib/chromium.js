// Command lines of Chromium.

import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The full browser, for tests that need its permission prompts, audio outputs or page cache. */
export const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';

/** The same engine without the browser's interface, if installed: needs a third less CPU time. */
export const engine = process.env.CHROMIUM_HEADLESS_SHELL || executablePath;

/** No background activity, no QUIC, which would bypass the tests' proxies, and sound without a click. */
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

/** A microphone, and a camera with ten frames per second, half of the default. */
export const fakeDevices = ['--use-fake-device-for-media-stream=fps=10'];

/** Permission prompts are accepted automatically. */
export const allowDevices = ['--use-fake-ui-for-media-stream'];

const folder = fileURLToPath(new URL('../../../test-results/', import.meta.url));

/** Writes a video for a camera, ten green frames with a bar that moves down, and returns its path. */
function film(width, height) {
  const pixels = width * height;
  const pictures = Array.from({ length: 10 }, (_, at) => {
    const luma = Buffer.alloc(pixels, 60).fill(200, (at * pixels) / 10, ((at + 1) * pixels) / 10);
    return Buffer.concat([Buffer.from('FRAME\n'), luma, Buffer.alloc(pixels / 2, 90)]);
  });
  const path = `${folder}camera.y4m`;
  // Each worker writes the same content.
  const own = `${path}.${process.pid}`;
  mkdirSync(folder, { recursive: true });
  writeFileSync(own, Buffer.concat([Buffer.from(`YUV4MPEG2 W${width} H${height} F10:1 C420jpeg\n`), ...pictures]));
  renameSync(own, path);
  return path;
}

/** Replaces the camera of `fakeDevices`, which has 16 times as many pixels to encode and decode. */
export const smallCamera = [`--use-file-for-fake-video-capture=${film(320, 180)}`];
