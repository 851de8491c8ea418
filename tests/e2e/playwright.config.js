import { defineConfig } from '@playwright/test';
import { allowDevices, engine, fakeDevices, quiet, smallCamera } from './lib/chromium.js';

export default defineConfig({
  testMatch: '*.spec.js',
  outputDir: '../../test-results/e2e',
  // Each call encodes and decodes video without a GPU, so there are no more of them; each has a server of its own. What is
  // done to a stack that runs already is done to all of it.
  workers: process.env.BASE_URL ? 1 : 2,
  timeout: 90_000,
  expect: { timeout: 20_000 },
  forbidOnly: true,
  reporter: [['list'], ['./lib/failures.js']],
  // A stack that runs already is given only what does not stop it or need other settings, and its upgrade where there is one.
  grep: process.env.BASE_URL ? /@stack/ : /./,
  grepInvert: process.env.UPGRADE ? undefined : /@upgrade/,
  use: {
    locale: 'en-US',
    ignoreHTTPSErrors: true,
    screenshot: 'only-on-failure',
    launchOptions: { executablePath: engine, args: [...quiet, ...fakeDevices, ...smallCamera, ...allowDevices] },
  },
});
