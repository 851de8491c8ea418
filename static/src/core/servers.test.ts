import { expect, test } from 'vitest';
import { areServersApart } from './servers';
import { FakeClock } from './testing/clock';

/** Checks servers that answer in this order. Returns the result and the number of requests. */
async function look(order: string, cluster = false, least?: number): Promise<[boolean, number]> {
  let asked = 0;
  const fetch = (url: string): Promise<Response> => {
    expect(url).toBe('https://a.example/v1/check?room=check-1');
    const instance = order[asked++ % order.length];
    return Promise.resolve(Response.json({ code: 'SUCCESS', data: { instance, cluster } }));
  };
  const options = { fetch, checkUrl: 'https://a.example/v1/check', clock: new FakeClock() };
  return [await areServersApart(options, 'check-1', least), asked];
}

test.each([
  ['A', false, 3],
  ['AB', true, 3],
  ['AABB', true, 5],
  ['ABC', true, 4],
  // A restart: the earlier instance does not return.
  ['ABBBBBBB', false, 8],
])('servers that answer as %s are apart: %s', async (order, apart, asked) => {
  expect(await look(order)).toEqual([apart, asked]);
});

test('servers that share rooms may take turns', async () => {
  expect(await look('AB', true)).toEqual([false, 3]);
});

test('more answers from one server can be asked for', async () => {
  expect(await look('AAAABAAA', false, 6)).toEqual([true, 6]);
});

test('a server that does not answer, or is of an earlier version, shows nothing', async () => {
  const options = { checkUrl: 'https://a.example/v1/check', clock: new FakeClock() };
  const silent = (): Promise<Response> => Promise.reject(new Error('refused'));
  expect(await areServersApart({ ...options, fetch: silent }, 'r')).toBe(false);
  const old = (): Promise<Response> => Promise.resolve(Response.json({ code: 'SUCCESS', data: {} }));
  expect(await areServersApart({ ...options, fetch: old }, 'r')).toBe(false);
});
