/**
 * Where things are. All addresses come from the page's own, so that the app works under any path.
 */

import { isVisible, withoutInvisible } from './names';

/** The longest room name in characters (R1). */
const ROOM_CHARS = 64;
/** Where a server started by hand listens, for the page of the development server. */
export const DEVELOPMENT_API = 'http://127.0.0.1:18080/signal-api/';
/** The signaling server's path, relative to the base. */
const DEFAULT_API = 'signal-api/';

/** Proquints: words of five letters that alternate, 16 bits each, made to be read aloud. */
const CONSONANTS = 'bdfghjklmnprstvz';
const VOWELS = 'aiou';

/** The addresses of an app and its server. */
export interface Address {
  /** The app's base, with a slash at its end. */
  readonly base: URL;
  /** The signaling WebSocket of a room. */
  socket(room: string): string;
  /** An HTTP answer under `signal-api/v1/`. */
  http(path: string): string;
  /** Where the page gets its origin proof (R92); `undefined` where the server has another origin than the page. */
  readonly originProof: string | undefined;
  /** Where a page that is closed says goodbye. The room stands in it for a balancer that keeps rooms on one server. */
  leave(room: string): string;
  /**
   * A link to a room, to be shared.
   *
   * @param asPath whether to write `r/<room>`, for which a web server needs a rule, in place of `?room=<room>`, which
   *   works on every web server. By default whatever form the page's own address has.
   */
  room(room: string, asPath?: boolean): string;
  /** The page that looks for what is wrong: a query, which works on every web server. */
  readonly diag: string;
}

/**
 * Addresses as seen from a page.
 *
 * @param page the page's own address
 * @param toBase the way from the page's folder to the base: `./`, or `../` in a room
 * @param api where the signaling server is, relative to the base; another origin is possible
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

/** Whether a server takes this room name (R1). */
export function isRoomName(name: string): boolean {
  const chars = [...name].length;
  return (
    chars >= 1 &&
    chars <= ROOM_CHARS &&
    name !== '.' &&
    name !== '..' &&
    isVisible(name) &&
    // \p{Cs}: half of a surrogate pair, which UTF-8 cannot carry and decoders make U+FFFD of.
    !/[\p{Cc}\p{Cs}\ufffd/\\?#]|^\p{White_Space}|\p{White_Space}$/u.test(name)
  );
}

/** The same name however it was typed or sent: the server compares characters and does not normalise. */
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

/** The room of `r/<room>` or `r/<room>/`; `undefined` for other paths and for the file `r/index.html` itself. */
function roomOfPath(page: string, base: URL): string | undefined {
  const { origin, pathname } = new URL(page);
  const folder = `${base.pathname}r/`;
  if (origin !== base.origin || !pathname.startsWith(folder)) return undefined;
  const [, segment] = /^([^/]+)\/?$/.exec(pathname.slice(folder.length)) ?? [];
  return segment === undefined || segment === 'index.html' ? undefined : decode(segment);
}

/** The room whose page this is, valid or not, by its path or else by its query; `undefined` where it is no room's. */
export function roomOfPage(page: string, base: URL): string | undefined {
  const name = roomOfPath(page, base) ?? new URL(page).searchParams.get('room');
  return name === null || name === '' ? undefined : normalise(name);
}

/** Whether this is the address of the page that looks for what is wrong: `?diag` or `diag`. */
export function isDiagPage(page: string, base: URL): boolean {
  const { pathname, searchParams } = new URL(page);
  return searchParams.has('diag') || pathname === `${base.pathname}diag`;
}

/** The room that a person means by a name or by a link to a room, here or elsewhere; `undefined` for neither. */
export function roomOfInput(text: string): string | undefined {
  const typed = normalise(text);
  const segment = /(?:^|\/)r\/([^/?#]+)\/?(?:[?#].*)?$/u.exec(typed)?.[1];
  const query = /\?([^#]*)/.exec(typed)?.[1];
  const asked = segment === undefined ? new URLSearchParams(query).get('room') : (decode(segment) ?? '');
  const name = asked === null ? typed : normalise(asked);
  return isRoomName(name) ? name : undefined;
}

/** A room name of 64 random bits that is easy to read aloud, such as `lusab-babad-gutih-tugad`. */
export function newRoomName(): string {
  const words = crypto.getRandomValues(new Uint16Array(4));
  return Array.from(words, word).join('-');
}

/** Each part takes a whole number of bits, so that every word is as likely as any other. */
function word(bits: number): string {
  const consonant = (shift: number): string => CONSONANTS.charAt((bits >> shift) & 15);
  const vowel = (shift: number): string => VOWELS.charAt((bits >> shift) & 3);
  return consonant(12) + vowel(10) + consonant(6) + vowel(4) + consonant(0);
}

/** What a room's address asks for: `?name=Ada&autojoin=1&audio=0&video=1`. */
export interface PageOptions {
  readonly name?: string;
  /** Join without the page before the room. */
  readonly autojoin: boolean;
  /** Whether to start with microphone and camera; `undefined` leaves it to the page. */
  readonly audio?: boolean;
  readonly video?: boolean;
  /** Whoever makes the room with this makes it a talk: `?talk=1`. */
  readonly talk?: true;
  /** Calls go through TURN servers only: `?relay=1`. */
  readonly relay?: true;
}

/** Reads the options of a page's address. */
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
