/** The admin API client of the operator's page (R68 to R70, R91). The token is sent in a header only. */
import type { Role, Settings, StateValue } from '../protocol/messages';

/** Timeout of a request. The server delays excessive requests by up to 5 s. */
const ANSWER_MS = 10_000;
/** Number of rooms per page. */
const PAGE = 50;
/** Retry delay if a rejection names none. */
const RETRY_SECONDS = 5;

/** Distribution of one metric over all reports. */
export interface Usual {
  readonly median: number;
  readonly p5: number;
  readonly p95: number;
}

/** Call quality reports of the last five minutes; a metric that no report contains is absent. */
export interface Quality {
  readonly reports: number;
  readonly round_trip_ms?: Usual;
  readonly loss_percent?: Usual;
  readonly jitter_ms?: Usual;
  readonly frozen_ms?: Usual;
  readonly fps?: Usual;
  readonly relayed_percent?: number;
}

/** State of a server (R91). */
export interface ServerOverview {
  readonly version: string;
  /** RFC 3339 with the offset of `zone`. */
  readonly time: string;
  readonly zone: string;
  readonly uptime_seconds: number;
  readonly sockets: number;
  readonly rooms: number;
  readonly members: number;
  readonly draining: boolean;
  /** Present only if rooms are shared with other servers. */
  readonly engine?: { readonly server: string; readonly connected: boolean };
  /** Present only if the server asks for reports. */
  readonly quality?: Quality;
}

/** A room in the list. */
export interface RoomSummary {
  readonly room: string;
  readonly members: number;
  readonly waiting: number;
  readonly settings: Settings;
}

/** A page of the list. */
export interface RoomPage {
  readonly rooms: readonly RoomSummary[];
  readonly total: number;
  /** Cursor for the next page. */
  readonly next?: string;
}

/** A member of a room. */
export interface Member {
  readonly id: string;
  readonly name: string;
  readonly role: Role;
  readonly state: Readonly<Partial<Record<string, StateValue>>>;
  readonly link?: 'lost';
  /** The server that holds the member's session, if known. */
  readonly server?: string;
}

/** A room and its members. */
export interface RoomDetail {
  readonly room: string;
  readonly settings: Settings;
  readonly members: readonly Member[];
  readonly waiting: readonly { readonly id: string; readonly name: string }[];
}

/** Why a request failed. */
export type Trouble =
  | { readonly kind: 'token' }
  /** Too many requests: try again later. */
  | { readonly kind: 'slow'; readonly seconds: number }
  /** The room or the member no longer exists. */
  | { readonly kind: 'gone' }
  /** No response, or not one from this server. */
  | { readonly kind: 'away' };

/** Thrown if a request fails. */
export class AdminError extends Error {
  constructor(readonly trouble: Trouble) {
    super(trouble.kind);
  }
}

/** The part of `fetch` that this module uses. */
export type Fetch = (
  url: string,
  options: { method: string; headers: Record<string, string>; signal: AbortSignal; cache: 'no-store' },
) => Promise<Pick<Response, 'status' | 'headers' | 'json'>>;

/** The admin API, accessed with its token. */
export class AdminApi {
  readonly #base: URL;
  readonly #token: string;
  readonly #fetch: Fetch;

  /** @param base the page's own folder */
  constructor(base: URL, token: string, ask: Fetch = (url, options) => fetch(url, options)) {
    this.#base = base;
    this.#token = token;
    this.#fetch = ask;
  }

  server(): Promise<ServerOverview> {
    return this.#ask('GET', 'server');
  }

  rooms(search: string, after: string | undefined): Promise<RoomPage> {
    const query = new URLSearchParams({ limit: String(PAGE) });
    if (search !== '') query.set('search', search);
    if (after !== undefined) query.set('after', after);
    return this.#ask('GET', `rooms?${query}`);
  }

  room(room: string): Promise<RoomDetail> {
    return this.#ask('GET', `rooms/${encodeURIComponent(room)}`);
  }

  async remove(room: string, id: string): Promise<void> {
    await this.#ask('DELETE', `rooms/${encodeURIComponent(room)}/peers/${encodeURIComponent(id)}`);
  }

  async end(room: string): Promise<void> {
    await this.#ask('DELETE', `rooms/${encodeURIComponent(room)}`);
  }

  async drain(): Promise<void> {
    await this.#ask('POST', 'drain');
  }

  async #ask<Data>(method: string, path: string): Promise<Data> {
    // Headers allow no other characters, and no server's token contains any.
    if (!/^[\x21-\x7e]+$/.test(this.#token)) throw new AdminError({ kind: 'token' });
    let answer: Awaited<ReturnType<Fetch>>;
    let body: { code?: unknown; data?: Data };
    try {
      answer = await this.#fetch(new URL(path, this.#base).href, {
        method,
        headers: { authorization: `Bearer ${this.#token}` },
        signal: AbortSignal.timeout(ANSWER_MS),
        cache: 'no-store',
      });
      body = (await answer.json()) as typeof body;
    } catch {
      throw new AdminError({ kind: 'away' });
    }
    if (body.code === 'SUCCESS' && body.data !== undefined) return body.data;
    throw new AdminError(troubleOf(answer, body.code));
  }
}

function troubleOf(answer: Pick<Response, 'status' | 'headers'>, code: unknown): Trouble {
  if (code === 'UNAUTHORIZED') return { kind: 'token' };
  if (code === 'ROOM_NOT_FOUND' || code === 'PEER_NOT_FOUND') return { kind: 'gone' };
  if (answer.status !== 429) return { kind: 'away' };
  const seconds = Number(answer.headers.get('retry-after') ?? '');
  return { kind: 'slow', seconds: seconds > 0 ? Math.ceil(seconds) : RETRY_SECONDS };
}
