/**
 * Takes screenshots of every story, in both languages, dark and light, at the relevant sizes: `npm run shots
 * [story…]`.
 */
import { mkdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { chromium } from 'playwright-core';
import { createServer } from 'vite';

const ALL = [
  ...[
    'landing',
    'lobby',
    'lobby-asking',
    'lobby-denied',
    'lobby-busy',
    'lobby-insecure',
    'lobby-app',
    'lobby-blocked',
    'lobby-offline',
    'lobby-no-relay',
    'joining',
    'joining-trouble',
  ],
  ...['joining-crowded', 'joining-full', 'joining-foreign', 'lobby-foreign', 'lost-full', 'sound-blocked'],
  ...['host+people+end', 'host+people+person-actions+remove', 'waiting-trouble'],
  ...[
    'alone',
    'two',
    'back-camera+more',
    'three',
    'crowded',
    'many',
    'links',
    'bars',
    'lost',
    'room-denied',
    'device-notes',
  ],
  ...['presenter', 'presenting', 'screen-failed', 'speaking'],
  ...[
    'captions+more+captions',
    'audio-only',
    'two+more+quality',
    'hands',
    'host',
    'host+people',
    'listener',
    'asked',
    'switched-off',
    'waiting',
    'removed',
    'ended',
  ],
  ...['demoted', 'locked', 'lobby-refused', 'room-invalid', 'token-missing', 'misunderstood', 'unsupported'],
  ...['chat+chat', 'chat-empty+chat'],
  ...[
    'two+invite',
    'two+more',
    'two+more+shortcuts',
    'two+more+devices',
    'bars+link',
    'bars+link+statistics',
    'bars+link+safety',
  ],
  ...['reactions', 'reactions+react', 'speaking-self', 'outdated', 'lobby-outdated'],
  ...[
    'recording',
    'recording+more',
    'two+more+record',
    'recording-host+more+record',
    'recording-consent',
    'recording-stayed',
    'lobby-recorded',
    'recording-failed',
    'recording-falsified',
    'recording-saved',
    'servers-apart',
  ],
  ...['operator', 'operator+remove', 'operator+drain'],
  ...['left', 'name-refused', 'full', 'superseded', 'wrong-address'],
];
const SIZES = { wide: [1280, 800], phone: [390, 844], side: [844, 390], narrow: [320, 568] };
const LOOKS = [
  ['en', 'light'],
  ['zh-CN', 'dark'],
];

const folder = resolve(import.meta.dirname, '../test-results/shots');
mkdirSync(folder, { recursive: true });
const asked = process.argv.slice(2);
const server = await createServer({ root: resolve(import.meta.dirname, '..'), logLevel: 'error' });
await server.listen();
const base = server.resolvedUrls.local[0];
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--autoplay-policy=no-user-gesture-required',
  ],
});
for (const [locale, colorScheme] of LOOKS) {
  for (const [size, [width, height]] of Object.entries(SIZES)) {
    const context = await browser.newContext({ locale, colorScheme, viewport: { width, height } });
    const page = await context.newPage();
    page.on('pageerror', (error) => console.error(error));
    // During a recording the page asks before it unloads.
    page.on('dialog', (dialog) => dialog.accept());
    for (const story of asked.length > 0 ? asked : ALL) {
      // `host+people`: the story `host`, after a click on the element with the action `people`.
      const [shown, ...clicks] = story.split('+');
      await page.goto(`${base}stories/?story=${shown}&name=${locale === 'en' ? 'Ada' : '小明'}`);
      await page.waitForSelector('[data-phase]');
      // Clicked by script, so that a button that a narrow bar hides in its menu can be opened, too.
      for (const action of clicks) {
        const button = await page.waitForSelector(`[data-action="${action}"]`, { state: 'attached' });
        await button.evaluate((element) => element.click());
      }
      if (clicks.length > 0)
        await page.waitForSelector('[data-panel], :popover-open, dialog[open], [data-captions]');
      // Wait for parts that are loaded on demand.
      await page.waitForLoadState('networkidle');
      await page.evaluate(() =>
        Promise.all(
          [...document.querySelectorAll('video.shown')].map((video) => video.readyState > 1 || video.play()),
        ),
      );
      await page.screenshot({ path: `${folder}/${story}-${size}-${locale}.png` });
    }
    await context.close();
  }
}
await browser.close();
await server.close();
