// How Chromium is started.

export const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';

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

/** A camera and a microphone that are always there. */
export const fakeDevices = ['--use-fake-device-for-media-stream'];

/** Whoever is asked for them says yes. */
export const allowDevices = ['--use-fake-ui-for-media-stream'];
