import { describe, expect, test } from 'vitest';
import { addressOf, isRoomName, newRoomName, pageOptions, roomOfInput, roomOfPage } from './address';
import { fixture } from './testing/fixtures';

describe('addresses', () => {
  test.each([
    ['https://a.example/', './', 'https://a.example/', 'wss://a.example/signal-api/ws?room=x'],
    ['https://a.example/r/x', '../', 'https://a.example/', 'wss://a.example/signal-api/ws?room=x'],
    [
      'https://a.example/meet/r/x?name=A#b',
      '../',
      'https://a.example/meet/',
      'wss://a.example/meet/signal-api/ws?room=x',
    ],
    [
      'http://localhost:18080/meet/',
      './',
      'http://localhost:18080/meet/',
      'ws://localhost:18080/meet/signal-api/ws?room=x',
    ],
  ])('%s seen with %s', (page, toBase, base, socket) => {
    const address = addressOf(page, toBase);
    expect(address.base.href).toBe(base);
    expect(address.socket('x')).toBe(socket);
    expect(address.http('welcome')).toBe(`${base}signal-api/v1/welcome`);
    expect(address.leave('x')).toBe(`${base}signal-api/v1/leave?room=x`);
    expect(address.room('x')).toBe(`${base}r/x`);
  });

  test('in development the server stands elsewhere', () => {
    const address = addressOf('http://localhost:5173/r/x', '../', true);
    expect(address.socket('x')).toBe('ws://127.0.0.1:18080/signal-api/ws?room=x');
    expect(address.http('welcome')).toBe('http://127.0.0.1:18080/signal-api/v1/welcome');
    expect(address.room('x')).toBe('http://localhost:5173/r/x');
  });

  test.each(['standup', '圆桌 一', 'a&b=c+d', '100%', '🙂', 'é', "it's (me)!"])(
    'the room %s comes back from its address and its socket',
    (room) => {
      const address = addressOf('https://a.example/meet/', './');
      expect(roomOfPage(address.room(room), address.base)).toBe(room);
      expect(roomOfInput(address.room(room))).toBe(room);
      expect(new URL(address.socket(room)).searchParams.get('room')).toBe(room);
      // To a balancer both name it in the same letters.
      expect(new URL(address.leave(room)).search).toBe(new URL(address.socket(room)).search);
    },
  );

  test('a page that is no room has none', () => {
    const base = new URL('https://a.example/meet/');
    for (const path of ['', 'r/', 'r/a/b', 'x/a', 'r/%ff']) {
      expect(roomOfPage(`https://a.example/meet/${path}`, base)).toBeUndefined();
    }
    expect(roomOfPage('https://a.example/r/a', base)).toBeUndefined();
  });

  test('a room is the same however its accents were typed', () => {
    expect(roomOfPage('https://a.example/r/%20cafe%CC%81', new URL('https://a.example/'))).toBe('café');
  });
});

describe('room names', () => {
  test.each(fixture('rooms') as { name: string; valid: boolean }[])('R1 $name: $valid', ({ name, valid }) => {
    expect(isRoomName(name)).toBe(valid);
  });

  test('R1 half a character, which no JSON of the fixtures can carry', () => {
    expect(isRoomName('\ud800')).toBe(false);
  });

  test.each([
    [' standup ', 'standup'],
    ['https://other.example/app/r/stand%20up?name=x', 'stand up'],
    ['other.example/r/standup/', 'standup'],
    ['r/standup', 'standup'],
    ['https://other.example/', undefined],
    ['a/b', undefined],
    ['', undefined],
  ])('%j means %j', (text, room) => {
    expect(roomOfInput(text)).toBe(room);
  });

  test('a new name is a valid one, can be read aloud, and is another each time', () => {
    const names = Array.from({ length: 500 }, newRoomName);
    expect(new Set(names).size).toBe(500);
    for (const name of names) {
      expect(name).toMatch(/^([bdfghjklmnprstvz][aiou]){2}[bdfghjklmnprstvz](-([a-z]{5})){3}$/);
      expect(isRoomName(name)).toBe(true);
    }
    // All sixteen consonants are there: none is left out by the way bits are taken.
    expect(new Set(names.map((name) => name[0])).size).toBe(16);
  });
});

test('the options of a page', () => {
  const page = 'https://a.example/r/x';
  expect(pageOptions(page)).toEqual({ autojoin: false });
  expect(pageOptions(`${page}?name=%20`)).toEqual({ autojoin: false });
  expect(pageOptions(`${page}?name=Ada&autojoin=1&audio=0&video=1`)).toEqual({
    name: 'Ada',
    autojoin: true,
    audio: false,
    video: true,
  });
});
