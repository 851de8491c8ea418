import type { Clock } from './clock';
import type { Failure, FailureCode } from './types';

/** The part of `fetch` that the core uses. */
export type Fetch = (
  url: string,
  options: { method: 'POST'; signal: AbortSignal },
) => Promise<Pick<Response, 'status' | 'text'> & { readonly headers: Pick<Headers, 'get'> }>;

/** After so long without an answer there is none. */
const TIMEOUT_MS = 8_000;

/** What a `Diagnosis` is made of. */
export interface DiagnosisOptions {
  readonly fetch: Fetch;
  /** `…/signal-api/v1/check` */
  readonly checkUrl: string;
  readonly clock: Clock;
}

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

/** Asks why a server cannot be reached: one question at a time, whose answer may be of no interest any more. */
export class Diagnosis {
  readonly #options: DiagnosisOptions;
  #question: AbortController | undefined;

  constructor(options: DiagnosisOptions) {
    this.#options = options;
  }

  /** Tells the answer, unless it is cancelled before; does nothing while a question waits for its answer. */
  async ask(tell: (failure: Failure) => void): Promise<void> {
    if (this.#question !== undefined) return;
    const { fetch, checkUrl, clock } = this.#options;
    const question = new AbortController();
    this.#question = question;
    const timer = clock.setTimeout(() => {
      question.abort(new Error('no answer in time'));
    }, TIMEOUT_MS);
    const failure = await diagnose(fetch, checkUrl, question.signal);
    clock.clearTimeout(timer);
    if (this.#question !== question) return;
    this.#question = undefined;
    tell(failure);
  }

  cancel(): void {
    this.#question?.abort();
    this.#question = undefined;
  }
}

/**
 * Why a signaling server cannot be reached: a browser does not say why a WebSocket failed, so
 * `POST v1/check` is asked (R76).
 */
async function diagnose(fetch: Fetch, checkUrl: string, signal: AbortSignal): Promise<Failure> {
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
