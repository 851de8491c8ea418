import { expect, it } from 'vitest';
import { AdminApi, AdminError, type Fetch } from './api';

const BASE = new URL('https://meet.example.org/meet/signal-api/v1/admin/');

/** Creates an API whose server gives this answer, and the list of requests made. */
function answering(
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): { api: AdminApi; asked: Parameters<Fetch>[] } {
  const asked: Parameters<Fetch>[] = [];
  const ask: Fetch = (...question) => {
    asked.push(question);
    const json = (): Promise<unknown> =>
      body instanceof Error ? Promise.reject(body) : Promise.resolve(body);
    return Promise.resolve({ status, headers: new Headers(headers), json });
  };
  return { api: new AdminApi(BASE, 'secret', ask), asked };
}

it('names the token in a header and never in an address', async () => {
  const { api, asked } = answering(200, { code: 'SUCCESS', data: { rooms: [], total: 0 } });
  await api.rooms('圆 桌', 'a&b');
  await api.remove('a/b', 'id');
  expect(asked.map(([url, { method }]) => [method, url])).toEqual([
    ['GET', `${BASE.href}rooms?limit=50&search=%E5%9C%86+%E6%A1%8C&after=a%26b`],
    ['DELETE', `${BASE.href}rooms/a%2Fb/peers/id`],
  ]);
  for (const [url, { headers }] of asked) {
    expect(url).not.toContain('secret');
    expect(headers).toEqual({ authorization: 'Bearer secret' });
  }
});

it.each([
  [401, { code: 'UNAUTHORIZED' }, {}, { kind: 'token' }],
  [404, { code: 'ROOM_NOT_FOUND' }, {}, { kind: 'gone' }],
  [404, { code: 'PEER_NOT_FOUND' }, {}, { kind: 'gone' }],
  [404, { code: 'NOT_FOUND' }, {}, { kind: 'away' }],
  [429, { code: 'TOO_MANY_ATTEMPTS' }, { 'retry-after': '12' }, { kind: 'slow', seconds: 12 }],
  [429, { code: 'TOO_MANY_ATTEMPTS' }, {}, { kind: 'slow', seconds: 5 }],
  [502, { code: 'UNAVAILABLE' }, {}, { kind: 'away' }],
  [502, new SyntaxError('<html>'), {}, { kind: 'away' }],
])('says why nothing came: %s %o', async (status, body, headers, trouble) => {
  const { api } = answering(status, body, headers);
  await expect(api.server()).rejects.toEqual(new AdminError(trouble as AdminError['trouble']));
  await expect(api.server()).rejects.toMatchObject({ trouble });
});

it('knows without asking that what fits into no header is no token', async () => {
  const asked: unknown[] = [];
  const ask: Fetch = (...question) => {
    asked.push(question);
    return Promise.reject(new Error('not to be asked'));
  };
  await expect(new AdminApi(BASE, '令牌', ask).server()).rejects.toMatchObject({
    trouble: { kind: 'token' },
  });
  expect(asked).toEqual([]);
  await expect(new AdminApi(BASE, 'secret', ask).server()).rejects.toMatchObject({
    trouble: { kind: 'away' },
  });
});
