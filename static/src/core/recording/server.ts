/** What a page asks its server about recordings (R35, R84): who is before the door knows what is done behind it. */
import type { Address } from '../address';
import type { Clock } from '../clock';

/** The feature of a server that keeps recordings. */
const FEATURE = 'recordings';
/** After so long without an answer nothing is said. */
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

/** The way to a server that keeps recordings. */
export interface RecordingServer {
  readonly address: Address;
  readonly room: string;
  readonly send: Send;
  readonly clock: Clock;
}

/** An answer in its envelope; of one without, the status alone. */
export interface Answer<T> {
  readonly status: number;
  readonly code?: unknown;
  readonly data?: T;
}

/** Asks, for so long; rejects where nobody answers. */
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
    // A proxy's own page.
    return {};
  }
}

/** Whether a server's features have it. */
export function keepsRecordings(features: readonly string[] | undefined): boolean {
  return features?.includes(FEATURE) ?? false;
}

/** Whether a meeting is recorded to the server at the moment; no, where nobody says so. */
export async function isRecorded(server: RecordingServer): Promise<boolean> {
  const { address, room } = server;
  try {
    const welcome = await ask<{ features?: string[] }>(server, address.http('welcome'), { method: 'GET' });
    // To ask for a room that is not there counts as a guess (R66): only where it may be of use.
    if (!keepsRecordings(welcome.data?.features)) return false;
    const url = address.http(`rooms/${encodeURIComponent(room)}`);
    const { data } = await ask<{ recorded?: boolean }>(server, url, { method: 'GET' });
    return data?.recorded === true;
  } catch {
    return false;
  }
}
