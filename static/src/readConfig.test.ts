import { expect, test } from 'vitest';
import { readConfig } from './readConfig';

const read = (config: unknown, protocol = 'https:') => readConfig(JSON.stringify(config), protocol);

test.each([
  'signal-api/',
  'signal-api',
  '/rtc/',
  '../rtc/',
  './',
  'https://api.example',
  'https://api.example/signal-api/',
  'https://api.example:8443/a/b/',
  'HTTPS://API.example/',
])('%j is an address of a signaling server', (address) => {
  expect(read({ signal_api: address })).toEqual({ api: address });
});

test.each([
  '',
  ' signal-api/',
  '//api.example/signal-api/',
  'wss://api.example/signal-api/',
  'https:/api.example/',
  'https://api.example.evil@host/',
  'https://user:secret@api.example/',
  'https://api.example:port/',
  'https://api example/',
  'signal-api/?room=x',
  'signal-api/#x',
  "https://api.example/; script-src 'unsafe-inline'",
  'https://api.example/\nx',
  'https://圆桌.example/',
  // A Content-Security-Policy cannot contain it.
  'https://[2001:db8::1]:19003/signal-api/',
  7,
  null,
  ['signal-api/'],
])('%j is none', (address) => {
  expect(read({ signal_api: address })).toEqual({
    problem: 'value',
    values: { value: JSON.stringify(address) },
  });
});

test('names an unknown key, a value that is no object, and text that is no JSON', () => {
  expect(read({ signalApi: 'rtc/' })).toEqual({ problem: 'key', values: { key: 'signalApi' } });
  expect(read(['rtc/'])).toEqual({ problem: 'object', values: {} });
  expect(readConfig('{"signal_api": "rtc/",}', 'https:')).toMatchObject({ problem: 'json' });
  expect(readConfig('', 'https:')).toMatchObject({ problem: 'json' });
});

test('reaches no server over http from a page over https, which a browser would block', () => {
  const config = { signal_api: 'http://api.example/signal-api/' };
  expect(read(config)).toMatchObject({ problem: 'insecure' });
  expect(read(config, 'http:')).toEqual({ api: 'http://api.example/signal-api/' });
});

test('name, logo and accent colour', () => {
  const look = { name: '示例会议 Meet', logo: 'brand/logo.svg', accent: '#0A7D55' };
  expect(read(look)).toEqual(look);
  expect(read({ ...look, signal_api: 'rtc/' })).toEqual({ ...look, api: 'rtc/' });
  expect(read({})).toEqual({});
});

test.each([
  ['name', ''],
  ['name', '   '],
  ['name', 'x'.repeat(41)],
  ['name', 7],
  ['logo', 'https://elsewhere.example/logo.svg'],
  ['logo', '//elsewhere.example/logo.svg'],
  ['logo', '/logo.svg'],
  ['logo', 'data:image/svg+xml,x.svg'],
  ['logo', 'logo.html'],
  ['accent', 'green'],
  ['accent', '#0a7'],
  ['accent', '#0a7d55; background: url(x)'],
  ['accent', null],
])('%s cannot be %j', (key, value) => {
  expect(read({ [key]: value })).toEqual({ problem: key, values: { value: JSON.stringify(value) } });
});
