import { describe, expect, test } from 'vitest';
import {
  addressOf,
  DEVELOPMENT_API,
  isDiagPage,
  isRoomName,
  newRoomName,
  pageOptions,
  roomOfInput,
  roomOfPage,
} from './address';
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
    expect(address.room('x', true)).toBe(`${base}r/x`);
    expect(address.room('x', false)).toBe(`${base}?room=x`);
    expect(address.diag).toBe(`${base}?diag`);
    expect(address.originProof).toBe(`${base}signal-api/v1/origin-proof`);
  });

  test.each([
    ['r/a', '../', 'r/b%26c'],
    ['r/a?name=Ada', '../', 'r/b%26c'],
    ['?room=a&name=Ada', './', '?room=b%26c'],
    ['index.html?room=a', './', '?room=b%26c'],
    ['r/?room=a', '../', '?room=b%26c'],
    ['', './', '?room=b%26c'],
  ])('a link to a room has the form of the address of its page: %s', (page, toBase, link) => {
    const address = addressOf(`https://a.example/meet/${page}`, toBase);
    expect(address.room('b&c')).toBe(`https://a.example/meet/${link}`);
  });

  test.each([
    ['signal-api', 'wss://a.example/meet/signal-api/ws?room=x'],
    ['rtc/', 'wss://a.example/meet/rtc/ws?room=x'],
    ['/rtc/', 'wss://a.example/rtc/ws?room=x'],
    ['https://api.example:8443', 'wss://api.example:8443/ws?room=x'],
    ['http://api.example/signal-api/', 'ws://api.example/signal-api/ws?room=x'],
  ])('the signaling server is at %s', (api, socket) => {
    const address = addressOf('https://a.example/meet/r/x', '../', api);
    expect(address.socket('x')).toBe(socket);
    expect(address.http('check')).toBe(new URL('v1/check', socket.replace(/^ws/, 'http')).href);
    expect(address.room('x')).toBe('https://a.example/meet/r/x');
  });

  test('in development the server stands elsewhere', () => {
    const address = addressOf('http://localhost:5173/r/x', '../', DEVELOPMENT_API);
    expect(address.socket('x')).toBe('ws://127.0.0.1:18080/signal-api/ws?room=x');
    expect(address.http('welcome')).toBe('http://127.0.0.1:18080/signal-api/v1/welcome');
    expect(address.room('x')).toBe('http://localhost:5173/r/x');
    expect(address.originProof).toBeUndefined();
  });

  test.each(['standup', '圆桌 一', 'a&b=c+d', '100%', '🙂', 'é', "it's (me)!"])(
    'the room %s comes back from its address and its socket',
    (room) => {
      const address = addressOf('https://a.example/meet/', './');
      for (const link of [
        address.room(room, true),
        address.room(room, false),
        `${address.room(room, true)}/`,
      ]) {
        expect(roomOfPage(link, address.base)).toBe(room);
        expect(roomOfInput(link)).toBe(room);
      }
      expect(new URL(address.socket(room)).searchParams.get('room')).toBe(room);
      // A load balancer sees the same spelling of the room in both.
      expect(new URL(address.leave(room)).search).toBe(new URL(address.socket(room)).search);
    },
  );

  test('a page that is no room has none', () => {
    const base = new URL('https://a.example/meet/');
    for (const path of ['', '?room=', '?name=a', '#room=a', 'r/', 'r/index.html', 'r/a/b', 'x/a', 'r/%ff']) {
      expect(roomOfPage(`https://a.example/meet/${path}`, base)).toBeUndefined();
    }
    expect(roomOfPage('https://a.example/r/a', base)).toBeUndefined();
  });

  test('a path that is a room goes before a query', () => {
    const base = new URL('https://a.example/');
    expect(roomOfPage('https://a.example/r/a?room=b', base)).toBe('a');
    expect(roomOfPage('https://a.example/r/?room=b+c', base)).toBe('b c');
  });

  test.each([
    ['diag', true],
    ['?diag', true],
    ['index.html?diag', true],
    ['', false],
    ['?name=diag', false],
    ['x/diag', false],
  ])('whether %j is the page that looks for what is wrong: %s', (path, expected) => {
    expect(isDiagPage(`https://a.example/meet/${path}`, new URL('https://a.example/meet/'))).toBe(expected);
  });

  test('a room is the same however its accents were typed', () => {
    expect(roomOfPage('https://a.example/r/%20cafe%CC%81', new URL('https://a.example/'))).toBe('café');
  });

  test.each([
    'r/%E2%80%AAstandup%E2%80%AC',
    'r/standup%E2%80%8B',
    '?room=stand%E2%81%A0up%EF%BB%BF',
    'r/standup\u200e',
  ])('a program has put invisible characters into %j', (path) => {
    expect(roomOfPage(`https://a.example/${path}`, new URL('https://a.example/'))).toBe('standup');
    expect(roomOfInput(`https://a.example/${path}`)).toBe('standup');
  });

  test('an invisible name opens no room', () => {
    expect(roomOfInput('\u200b')).toBeUndefined();
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
    ['https://other.example/app/?name=x&room=stand+up#token=y', 'stand up'],
    ['other.example/?room=standup', 'standup'],
    ['?room=standup', 'standup'],
    ['other.example/index.html?room=standup', 'standup'],
    ['https://other.example/r/standup?room=x', 'standup'],
    ['https://other.example/?room=a%2Fb', undefined],
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
    // All sixteen consonants occur, so the bit arithmetic skips none.
    expect(new Set(names.map((name) => name[0])).size).toBe(16);
  });
});

test('the options of a page', () => {
  const page = 'https://a.example/r/x';
  expect(pageOptions(page)).toEqual({ autojoin: false });
  expect(pageOptions(`${page}?relay=1`)).toEqual({ autojoin: false, relay: true });
  expect(pageOptions(`${page}?name=%20`)).toEqual({ autojoin: false });
  expect(pageOptions(`${page}?name=Ada&autojoin=1&audio=0&video=1`)).toEqual({
    name: 'Ada',
    autojoin: true,
    audio: false,
    video: true,
  });
});
