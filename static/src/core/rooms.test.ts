import { expect, test } from 'vitest';
import { addressOf, isRoomName } from './address';
import { newRoom } from './rooms';

const address = addressOf('https://a.example/meet/', './');
const answer = (body: unknown) => () => Promise.resolve({ json: () => Promise.resolve(body) });

test('R57 the server names the room and gives its key', async () => {
  const asked: string[] = [];
  const made = await newRoom(address, (url, { method }) => {
    asked.push(`${method} ${url}`);
    return answer({ code: 'SUCCESS', data: { room: 'lusab-babad', host_key: 'k' } })();
  });
  expect(asked).toEqual(['POST https://a.example/meet/signal-api/v1/rooms']);
  expect(made).toEqual({ room: 'lusab-babad', hostKey: 'k' });
});

test('R60 a room may have no key', async () => {
  const made = await newRoom(address, answer({ code: 'SUCCESS', data: { room: 'lusab-babad' } }));
  expect(made).toEqual({ room: 'lusab-babad' });
});

test.each([
  ['an error', answer({ code: 'NOT_FOUND', message: 'no' })],
  ['no name', answer({ code: 'SUCCESS', data: { room: '' } })],
  ['nothing', answer(null)],
  ['no answer', () => Promise.reject(new Error('refused'))],
])('%s leaves a name of its own', async (_, post) => {
  const made = await newRoom(address, post);
  expect(isRoomName(made.room) && made.room.length > 16).toBe(true);
  expect(made.hostKey).toBeUndefined();
});
