import type { Failure, FailureCode } from './types';

/** The part of `fetch` that the core uses. */
export type Fetch = (
  url: string,
  options: { method: 'POST'; signal: AbortSignal },
) => Promise<Pick<Response, 'status' | 'text'> & { readonly headers: Pick<Headers, 'get'> }>;

interface Envelope {
  readonly code?: unknown;
  readonly data?: { readonly name?: unknown } | null;
}

/** What a refused upgrade means for a person. */
const REFUSALS: ReadonlyMap<unknown, FailureCode> = new Map([
  ['ORIGIN_NOT_ALLOWED', 'origin_refused'],
  ['TOO_MANY_CONNECTIONS', 'too_many_connections'],
  ['SERVER_FULL', 'server_full'],
]);

/**
 * Why a signaling server cannot be reached: a browser does not say why a WebSocket failed, so
 * `POST v1/check` is asked (R76).
 */
export async function diagnose(fetch: Fetch, checkUrl: string, signal: AbortSignal): Promise<Failure> {
  let status: number;
  let body: string;
  let retryMs: number;
  try {
    const response = await fetch(checkUrl, { method: 'POST', signal });
    status = response.status;
    // In seconds: the server says no dates (RFC 9110 §10.2.3).
    retryMs = Number(response.headers.get('retry-after') ?? 0) * 1_000;
    body = await response.text();
  } catch (error) {
    return { code: 'server_unreachable', detail: String(error) };
  }
  const envelope = parse(body);
  const code = REFUSALS.get(envelope?.code);
  if (code) return { code, ...(retryMs > 0 && { retryMs }) };
  // The server shuts down, or is down and the proxy before it says so in its own words.
  if (status >= 500) return { code: 'server_unreachable', detail: `HTTP ${status}` };
  if (envelope?.code === 'SUCCESS' && envelope.data?.name === 'roundtable') {
    return { code: 'server_unreachable', detail: 'the server answers HTTP, but not WebSocket' };
  }
  return { code: 'wrong_address', detail: checkUrl };
}

function parse(body: string): Envelope | undefined {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    // A web page, most likely.
    return undefined;
  }
}
