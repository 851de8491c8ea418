/**
 * Requests about recordings on the server (R35, R84). They tell a person before joining whether the meeting is
 * recorded.
 */
import type { Address } from '../address';
import type { Clock } from '../clock';

/** Server feature that announces support for recordings. */
const FEATURE = 'recordings';
/** Timeout of a request. */
const TIMEOUT_MS = 8_000;

/** The part of `fetch` that recordings use. */
export type Send = (
  url: string,
  request: {
    readonly method: 'GET' | 'POST' | 'PUT';
    readonly headers?: Readonly<Record<string, string>>;
    readonly body?: string | Blob;
    readonly signal: AbortSignal;
  },
) => Promise<Pick<Response, 'status' | 'text'>>;

/** A room on a server that keeps recordings, and how to send requests to it. */
export interface RecordingServer {
  readonly address: Address;
  readonly room: string;
  readonly send: Send;
  readonly clock: Clock;
}

/** Response in the API's envelope; without one, the status alone. */
export interface Answer<T> {
  readonly status: number;
  readonly code?: unknown;
  readonly data?: T;
}

/** Sends a request with a timeout; rejects if there is no response. */
export async function ask<T>(
  { send, clock }: Pick<RecordingServer, 'send' | 'clock'>,
  url: string,
  request: Omit<Parameters<Send>[1], 'signal'>,
  milliseconds = TIMEOUT_MS,
): Promise<Answer<T>> {
  const abort = new AbortController();
  const timer = clock.setTimeout(() => {
    abort.abort(new Error('no answer in time'));
  }, milliseconds);
  try {
    const answer = await send(url, { ...request, signal: abort.signal });
    const text = await answer.text();
    return { ...envelope(text), status: answer.status };
  } finally {
    clock.clearTimeout(timer);
  }
}

function envelope(text: string): object {
  try {
    return JSON.parse(text) as object;
  } catch {
    // For example a proxy's own page.
    return {};
  }
}

/** Returns whether a server's features include recordings. */
export function keepsRecordings(features: readonly string[] | undefined): boolean {
  return features?.includes(FEATURE) ?? false;
}

/** Returns whether a meeting is currently being recorded to the server; `false` if that is unknown. */
export async function isRecorded(server: RecordingServer): Promise<boolean> {
  const { address, room } = server;
  try {
    const welcome = await ask<{ features?: string[] }>(server, address.http('welcome'), { method: 'GET' });
    // Asking about a room that does not exist counts as a guess (R66), so ask only servers that keep recordings.
    if (!keepsRecordings(welcome.data?.features)) return false;
    const url = address.http(`rooms/${encodeURIComponent(room)}`);
    const { data } = await ask<{ recorded?: boolean }>(server, url, { method: 'GET' });
    return data?.recorded === true;
  } catch {
    return false;
  }
}
