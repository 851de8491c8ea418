import { beforeEach, expect, test, vi } from 'vitest';
import { addressOf } from './core/address';

const BASE = 'https://a.example/meet/';
const ROOMS = '<!doctype html><html lang="en" data-base="../">';
const LANDING = '<!doctype html><html lang="en" data-base="./">';

const fetched = vi.fn<(url: URL) => Promise<Response>>();
const store = new Map<string, string>();

/** Loads the module as on a new page. */
async function opened() {
  vi.resetModules();
  return import('./links');
}

beforeEach(() => {
  fetched.mockReset();
  store.clear();
  vi.stubGlobal('fetch', fetched);
  vi.stubGlobal('sessionStorage', {
    getItem: (key: string) => store.get(key) ?? null,
    setItem: (key: string, value: string) => store.set(key, value),
  });
});

async function link(from = ''): Promise<string> {
  const { linkTo } = await opened();
  return linkTo(addressOf(BASE, './'), 'stand up', from);
}

test.each([
  ['the page for rooms', new Response(ROOMS), 'r/stand%20up'],
  ['the landing page, by a fallback for every path', new Response(LANDING), '?room=stand%20up'],
  ['nothing', new Response('404 Not Found', { status: 404 }), '?room=stand%20up'],
  ['an error that has the page for rooms in it', new Response(ROOMS, { status: 404 }), '?room=stand%20up'],
])('links suit a web server that answers with %s', async (_name, response, expected) => {
  fetched.mockResolvedValue(response);
  expect(await link()).toBe(BASE + expected);
  expect(fetched.mock.calls.map(([url]) => url.href)).toEqual([`${BASE}r/link-check`]);
  // Another page of the tab knows the answer.
  expect(await link()).toBe(BASE + expected);
  expect(fetched).toHaveBeenCalledTimes(1);
});

test.each([
  ['no answer', () => fetched.mockRejectedValueOnce(new Error('no network'))],
  ['an answer of a proxy', () => fetched.mockResolvedValueOnce(new Response('', { status: 502 }))],
])('links work on every web server after %s, and the next page asks again', async (_name, prepare) => {
  prepare();
  expect(await link()).toBe(`${BASE}?room=stand%20up`);
  fetched.mockResolvedValue(new Response(ROOMS));
  expect(await link()).toBe(`${BASE}r/stand%20up`);
});

test('works where storage is closed', async () => {
  vi.stubGlobal('sessionStorage', undefined);
  fetched.mockResolvedValue(new Response(ROOMS));
  expect(await link()).toBe(`${BASE}r/stand%20up`);
});

test.each([
  ['?talk=1', '&talk=1'],
  [`${BASE}r/stand%20up?name=Ada&audio=0#token=abc`, '&name=Ada&audio=0#token=abc'],
  [`${BASE}?name=Ada&room=stand%20up#token=abc`, '&name=Ada#token=abc'],
  // Parameters for another server are not passed to this one.
  ['https://other.example/meet/r/stand%20up?name=Ada#token=abc', ''],
  ['https://a.example/other/r/stand%20up#token=abc', ''],
  ['stand up', ''],
  ['http://[', ''],
])('a link made from %j goes on with %j', async (from, rest) => {
  fetched.mockResolvedValue(new Response('', { status: 404 }));
  const expected = new URL(`?room=stand%20up${rest}`, BASE);
  const made = new URL(await link(from));
  expect([...made.searchParams]).toEqual([...expected.searchParams]);
  expect(made.hash).toBe(expected.hash);
  expect(made.pathname).toBe(expected.pathname);
});

test.each([
  [
    'https://other.example/meet/r/stand%20up?name=Ada#token=abc',
    'https://other.example/meet/r/stand%20up?name=Ada#token=abc',
  ],
  ['\u200b http://other.example:8080/?room=x', 'http://other.example:8080/?room=x'],
  ['other.example/r/x', 'https://other.example/r/x'],
  ['localhost:19003/r/x', 'https://localhost:19003/r/x'],
  // Another installation on the same host.
  ['https://a.example/other/r/x', 'https://a.example/other/r/x'],
  ['https://a.example/meet/r/x', undefined],
  ['http://a.example/meet/?room=x', undefined],
  ['a.example/meet/r/x', undefined],
  ['r/x', undefined],
  ['?room=x', undefined],
  ['/meet/r/x', undefined],
  ['stand up', undefined],
  ['v1.2', undefined],
  ['https://[/r/x', undefined],
  ['javascript:alert(1)//r/x', undefined],
])('%j leads to another server: %j', async (typed, expected) => {
  const { linkElsewhere } = await opened();
  expect(linkElsewhere(typed, new URL(BASE))).toBe(expected);
});
