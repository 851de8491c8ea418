/**
 * Addresses of the app and its server. All derive from the page's own address, so that the app works under any path.
 */

import { isVisible, withoutInvisible } from './names';

/** Maximum length of a room name, in characters (R1). */
const ROOM_CHARS = 64;
/** Address of a server started by hand, for the page of the development server. */
export const DEVELOPMENT_API = 'http://127.0.0.1:18080/signal-api/';
/** Path of the signaling server, relative to the base. */
const DEFAULT_API = 'signal-api/';

/**
 * Letters of proquints: words of five letters in which consonants and vowels alternate. A word carries 16 bits and is
 * easy to read aloud.
 */
const CONSONANTS = 'bdfghjklmnprstvz';
const VOWELS = 'aiou';

/** Addresses of an app and its server. */
export interface Address {
  /** Base URL of the app, with a trailing slash. */
  readonly base: URL;
  /** Returns the signaling WebSocket URL of a room. */
  socket(room: string): string;
  /** Returns the URL of an HTTP resource under `signal-api/v1/`. */
  http(path: string): string;
  /** URL that returns an origin proof (R92); `undefined` if the server's origin differs from the page's. */
  readonly originProof: string | undefined;
  /**
   * Returns the URL to which a closing page posts its leave request. It contains the room for load balancers that
   * keep a room on one server.
   */
  leave(room: string): string;
  /**
   * Returns a link to a room, for sharing.
   *
   * @param asPath whether to write `r/<room>`, which requires a rule in the web server, instead of `?room=<room>`,
   *   which works on every web server. Defaults to the form of the page's own address.
   */
  room(room: string, asPath?: boolean): string;
  /** The diagnostics page. Its address is a query, which works on every web server. */
  readonly diag: string;
}

/**
 * Computes the addresses as seen from a page.
 *
 * @param page the page's own address
 * @param toBase relative path from the page's folder to the base: `./`, or `../` in a room
 * @param api address of the signaling server, relative to the base; another origin is possible
 */
export function addressOf(page: string, toBase: string, api = DEFAULT_API): Address {
  const base = new URL(toBase, page);
  base.search = '';
  base.hash = '';
  const server = new URL(api.replace(/\/?$/, '/'), base);
  const isPath = roomOfPath(page, base) !== undefined;
  const http = (path: string): string => new URL(`v1/${path}`, server).href;
  return {
    base,
    socket(room) {
      const url = new URL('ws', server);
      url.protocol = server.protocol === 'https:' ? 'wss:' : 'ws:';
      url.search = `room=${encodeURIComponent(room)}`;
      return url.href;
    },
    http,
    originProof: server.origin === base.origin ? http('origin-proof') : undefined,
    leave: (room) => http(`leave?room=${encodeURIComponent(room)}`),
    room: (room, asPath = isPath) =>
      new URL((asPath ? 'r/' : '?room=') + encodeURIComponent(room), base).href,
    diag: new URL('?diag', base).href,
  };
}

/** Returns whether a server accepts this room name (R1). */
export function isRoomName(name: string): boolean {
  const chars = [...name].length;
  return (
    chars >= 1 &&
    chars <= ROOM_CHARS &&
    name !== '.' &&
    name !== '..' &&
    isVisible(name) &&
    // \p{Cs}: an unpaired surrogate. UTF-8 cannot encode it, and decoders replace it with U+FFFD.
    !/[\p{Cc}\p{Cs}\ufffd/\\?#]|^\p{White_Space}|\p{White_Space}$/u.test(name)
  );
}

/**
 * Normalizes a name, so that it is the same however it was typed or sent. The server compares characters and does not
 * normalize.
 */
function normalise(name: string): string {
  return withoutInvisible(name.normalize('NFC')).trim();
}

function decode(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}

/**
 * Returns the room of `r/<room>` or `r/<room>/`; `undefined` for other paths and for the file `r/index.html` itself.
 */
function roomOfPath(page: string, base: URL): string | undefined {
  const { origin, pathname } = new URL(page);
  const folder = `${base.pathname}r/`;
  if (origin !== base.origin || !pathname.startsWith(folder)) return undefined;
  const [, segment] = /^([^/]+)\/?$/.exec(pathname.slice(folder.length)) ?? [];
  return segment === undefined || segment === 'index.html' ? undefined : decode(segment);
}

/**
 * Returns the room of a page's address, valid or not: from the path, else from the query. `undefined` if the page is
 * not a room's.
 */
export function roomOfPage(page: string, base: URL): string | undefined {
  const name = roomOfPath(page, base) ?? new URL(page).searchParams.get('room');
  return name === null || name === '' ? undefined : normalise(name);
}

/** Returns whether an address is that of the diagnostics page: `?diag` or `diag`. */
export function isDiagPage(page: string, base: URL): boolean {
  const { pathname, searchParams } = new URL(page);
  return searchParams.has('diag') || pathname === `${base.pathname}diag`;
}

/** Extracts a room name from user input: a name, or a link to a room on any server. `undefined` if it is neither. */
export function roomOfInput(text: string): string | undefined {
  const typed = normalise(text);
  const segment = /(?:^|\/)r\/([^/?#]+)\/?(?:[?#].*)?$/u.exec(typed)?.[1];
  const query = /\?([^#]*)/.exec(typed)?.[1];
  const asked = segment === undefined ? new URLSearchParams(query).get('room') : (decode(segment) ?? '');
  const name = asked === null ? typed : normalise(asked);
  return isRoomName(name) ? name : undefined;
}

/** Generates a room name from 64 random bits that is easy to read aloud, such as `lusab-babad-gutih-tugad`. */
export function newRoomName(): string {
  const words = crypto.getRandomValues(new Uint16Array(4));
  return Array.from(words, word).join('-');
}

/** Encodes 16 bits as a proquint. Each letter takes a whole number of bits, so all words are equally likely. */
function word(bits: number): string {
  const consonant = (shift: number): string => CONSONANTS.charAt((bits >> shift) & 15);
  const vowel = (shift: number): string => VOWELS.charAt((bits >> shift) & 3);
  return consonant(12) + vowel(10) + consonant(6) + vowel(4) + consonant(0);
}

/** Options in a room's address: `?name=Ada&autojoin=1&audio=0&video=1`. */
export interface PageOptions {
  readonly name?: string;
  /** Join at once, without the lobby page. */
  readonly autojoin: boolean;
  /** Start with the microphone and the camera on or off; `undefined` leaves it to the page. */
  readonly audio?: boolean;
  readonly video?: boolean;
  /** If this member creates the room, it becomes a talk: `?talk=1`. */
  readonly talk?: true;
  /** Connect through TURN servers only: `?relay=1`. */
  readonly relay?: true;
}

/** Parses the options in a page's address. */
export function pageOptions(page: string): PageOptions {
  const query = new URL(page).searchParams;
  const name = query.get('name')?.trim();
  const audio = flag(query.get('audio'));
  const video = flag(query.get('video'));
  return {
    ...(name !== undefined && name !== '' && { name }),
    autojoin: flag(query.get('autojoin')) ?? false,
    ...(audio !== undefined && { audio }),
    ...(video !== undefined && { video }),
    ...(flag(query.get('talk')) === true && { talk: true }),
    ...(flag(query.get('relay')) === true && { relay: true }),
  };
}

function flag(value: string | null): boolean | undefined {
  if (value === null) return undefined;
  return value !== '0' && value !== 'false';
}
