import { defineConfig } from '@playwright/test';
import { allowDevices, engine, fakeDevices, quiet, smallCamera } from './lib/chromium.js';

export default defineConfig({
  testMatch: '*.spec.js',
  outputDir: '../../test-results/e2e',
  // No more workers, because each call encodes and decodes video without a GPU; each test has its own server. With a
  // running stack, the tests share it, so there is one worker.
  workers: process.env.BASE_URL ? 1 : 2,
  timeout: 90_000,
  expect: { timeout: 20_000 },
  forbidOnly: true,
  reporter: [['list'], ['./lib/failures.js']],
  // With a running stack, run only tests that do not stop it or need other settings; the upgrade test only if
  // requested.
  grep: process.env.BASE_URL ? /@stack/ : /./,
  grepInvert: process.env.UPGRADE ? undefined : /@upgrade/,
  use: {
    locale: 'en-US',
    ignoreHTTPSErrors: true,
    screenshot: 'only-on-failure',
    launchOptions: { executablePath: engine, args: [...quiet, ...fakeDevices, ...smallCamera, ...allowDevices] },
  },
});
