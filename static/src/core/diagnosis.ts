import type { Failure } from './types';

/** The part of `fetch` that the core uses. */
export type Fetch = (
  url: string,
  options: { signal: AbortSignal },
) => Promise<Pick<Response, 'status' | 'text'>>;

interface Envelope {
  readonly code?: unknown;
  readonly data?: { readonly name?: unknown } | null;
}

/**
 * Why a signaling server cannot be reached: a browser does not say why a WebSocket failed, so
 * `GET v1/welcome` is asked (R34).
 */
export async function diagnose(fetch: Fetch, welcomeUrl: string, signal: AbortSignal): Promise<Failure> {
  let status: number;
  let body: string;
  try {
    const response = await fetch(welcomeUrl, { signal });
    status = response.status;
    body = await response.text();
  } catch (error) {
    return { code: 'server_unreachable', detail: String(error) };
  }
  const envelope = parse(body);
  if (envelope?.code === 'SERVER_FULL') return { code: 'server_full' };
  // The server shuts down, or is down and the proxy before it says so in its own words.
  if (status >= 500) return { code: 'server_unreachable', detail: `HTTP ${status}` };
  if (envelope?.code === 'SUCCESS' && envelope.data?.name === 'roundtable') {
    return { code: 'server_unreachable', detail: 'the server answers HTTP, but not WebSocket' };
  }
  return { code: 'wrong_address', detail: welcomeUrl };
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
