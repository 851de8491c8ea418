/**
 * Where things are. All addresses come from the page's own, so that the app works under any path.
 */

/** The longest room name in characters (R1). */
const ROOM_CHARS = 64;
/** Where a server started by hand listens, for the page of the development server. */
const DEVELOPMENT_API = 'http://127.0.0.1:18080/signal-api/';

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
  /** Where a page that is closed says goodbye. The room stands in it for a balancer that keeps rooms on one server. */
  leave(room: string): string;
  /** The page of a room, to be shared. */
  room(room: string): string;
  /** The page that looks for what is wrong. */
  readonly diag: string;
}

/**
 * Addresses as seen from a page.
 *
 * @param page the page's own address
 * @param toBase the way from the page's folder to the base: `./`, or `../` in a room
 * @param development whether the page comes from a development server, which is not the signaling server
 */
export function addressOf(page: string, toBase: string, development = false): Address {
  const base = new URL(toBase, page);
  base.search = '';
  base.hash = '';
  const api = development ? new URL(DEVELOPMENT_API) : new URL('signal-api/', base);
  const http = (path: string): string => new URL(`v1/${path}`, api).href;
  return {
    base,
    socket(room) {
      const url = new URL('ws', api);
      url.protocol = api.protocol === 'https:' ? 'wss:' : 'ws:';
      url.search = `room=${encodeURIComponent(room)}`;
      return url.href;
    },
    http,
    leave: (room) => http(`leave?room=${encodeURIComponent(room)}`),
    room: (room) => new URL(`r/${encodeURIComponent(room)}`, base).href,
    diag: new URL('diag', base).href,
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
    // \p{Cs}: half of a surrogate pair, which UTF-8 cannot carry and decoders make U+FFFD of.
    !/[\p{Cc}\p{Cs}\ufffd/\\?#]|^\p{White_Space}|\p{White_Space}$/u.test(name)
  );
}

/** The same name however it was typed: the server compares characters and does not normalise. */
function normalise(name: string): string {
  return name.normalize('NFC').trim();
}

function decode(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}

/** The room whose page this is, valid or not; `undefined` where the address is no room's. */
export function roomOfPage(page: string, base: URL): string | undefined {
  const { origin, pathname } = new URL(page);
  const folder = `${base.pathname}r/`;
  if (origin !== base.origin || !pathname.startsWith(folder)) return undefined;
  const segment = pathname.slice(folder.length);
  if (segment === '' || segment.includes('/')) return undefined;
  const name = decode(segment);
  return name === undefined ? undefined : normalise(name);
}

/** The room that a person means by a name or by a link to a room, here or elsewhere; `undefined` for neither. */
export function roomOfInput(text: string): string | undefined {
  const typed = normalise(text);
  const segment = /(?:^|\/)r\/([^/?#]+)\/?(?:[?#].*)?$/u.exec(typed)?.[1];
  const name = segment === undefined ? typed : normalise(decode(segment) ?? '');
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
  };
}

function flag(value: string | null): boolean | undefined {
  if (value === null) return undefined;
  return value !== '0' && value !== 'false';
}
