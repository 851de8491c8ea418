// Safari's engine, as far as possible: Debian builds it without WebRTC.

import { expect, test as base } from './lib/test.js';
import { WebKit } from './lib/webkit.js';

const test = base.extend({
  webkit: async ({}, use) => {
    const webkit = await WebKit.launch();
    await use(webkit);
    await webkit.close();
  },
});

test.use({ settings: { ROUNDTABLE_ADMIN_TOKEN: 'north-north-north-north-north-north' } });

const text = (webkit) => webkit.evaluate(() => document.querySelector('#app').innerText);
const click = (webkit, action) =>
  webkit.evaluate((action) => document.querySelector(`[data-action="${action}"]`).click(), action);

test('WebKit shows the pages, and says before a meeting that its build has no video calls', async ({
  server,
  webkit,
}) => {
  await webkit.goto(server.url);
  await expect.poll(() => text(webkit)).toContain('New meeting');
  await click(webkit, 'language');
  await expect.poll(() => text(webkit)).toContain('新建会议');
  await click(webkit, 'language');
  await click(webkit, 'create');
  await expect.poll(() => webkit.evaluate(() => location.pathname)).toMatch(/^\/r\/[a-z-]+$/);
  await expect.poll(() => text(webkit)).toContain('This browser does not support video calls.');
  expect(await webkit.evaluate(() => document.querySelector('[data-failure]').dataset.failure)).toBe('browser_unsupported');

  await webkit.goto(new URL('diag', server.url).href);
  const findings = () =>
    webkit.evaluate(() => [...document.querySelectorAll('[data-finding]')].map(({ dataset }) => dataset.finding));
  await expect.poll(findings).toContain('webrtc_missing');
  await expect.poll(() => text(webkit)).not.toContain('Checking…');

  await webkit.goto(new URL('admin.html', server.url).href);
  await expect.poll(() => webkit.evaluate(() => document.querySelector('[name=token]') !== null)).toBe(true);
});
