import { expect, test } from 'vitest';
import { browserOf } from './permission';

const MAC = 'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)';
const WINDOWS = 'Mozilla/5.0 (Windows NT 10.0; Win64; x64)';
const IPHONE =
  'Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)';

test.each([
  ['chrome', `${WINDOWS} AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36`],
  ['edge', `${WINDOWS} AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0`],
  ['firefox', 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0'],
  ['safari', `${MAC} AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15`],
  ['ios', `${IPHONE} Version/17.5 Mobile/15E148 Safari/604.1`],
  ['ios', `${IPHONE} CriOS/126.0.0.0 Mobile/15E148 Safari/604.1`],
  ['other', 'curl/8.5.0'],
])('%s is told from its name', (browser, userAgent) => {
  expect(browserOf(userAgent)).toBe(browser);
});
