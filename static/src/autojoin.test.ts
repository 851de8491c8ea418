import { expect, test } from 'vitest';
import { mayAutojoin, type OpenedPage } from './autojoin';

const LISTED = "default-src 'self'; frame-ancestors 'self' https://portal.example; object-src 'none'";

const opened = (page: Partial<OpenedPage> = {}): OpenedPage => ({
  hasBeenActive: false,
  isFramed: false,
  policy: () => Promise.resolve(LISTED),
  ...page,
});

test('devices wait for a person, whatever the query leaves to the page', async () => {
  for (const wanted of [{}, { audio: true }, { audio: false }, { video: true }, { video: false }]) {
    expect(await mayAutojoin({ autojoin: true, ...wanted }, opened()), JSON.stringify(wanted)).toBe(false);
  }
});

test('a page that somebody has used, or that opens no device, joins at once', () => {
  expect(mayAutojoin({ autojoin: true }, opened({ hasBeenActive: true }))).toBe(true);
  expect(mayAutojoin({ autojoin: true, audio: false, video: false }, opened())).toBe(true);
  expect(mayAutojoin({ autojoin: false }, opened({ hasBeenActive: true }))).toBe(false);
});

test('a framed page joins where its address lists the pages around it, and waits where it does not', async () => {
  const framed = (policy: OpenedPage['policy']): unknown =>
    mayAutojoin({ autojoin: true }, opened({ isFramed: true, policy }));
  expect(await framed(() => Promise.resolve(LISTED))).toBe(true);
  expect(await framed(() => Promise.resolve("frame-ancestors 'self'"))).toBe(true);
  for (const policy of [null, '', "default-src 'self'", 'report-uri /frame-ancestors /x']) {
    expect(await framed(() => Promise.resolve(policy)), String(policy)).toBe(false);
  }
  expect(await framed(() => Promise.reject(new TypeError('offline')))).toBe(false);
});
