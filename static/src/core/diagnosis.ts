import type { Clock } from './clock';
import type { Failure, FailureCode } from './types';

/** The part of `fetch` that the core uses. */
export type Fetch = (
  url: string,
  options: { method: 'GET' | 'POST'; signal: AbortSignal },
) => Promise<Pick<Response, 'status' | 'text'> & { readonly headers: Pick<Headers, 'get'> }>;

/** Timeout of a request. */
const TIMEOUT_MS = 8_000;
/** Timeout of an origin proof request; less than a server waits for the proof in a `join`. */
const PROOF_MS = 4_000;

/** Options of a `Diagnosis`. */
export interface DiagnosisOptions {
  readonly fetch: Fetch;
  /** `…/signal-api/v1/check` */
  readonly checkUrl: string;
  readonly clock: Clock;
}

interface Envelope {
  readonly code?: unknown;
  readonly data?: {
    readonly name?: unknown;
    readonly time?: unknown;
    readonly proof?: unknown;
    readonly instance?: unknown;
    readonly cluster?: unknown;
    readonly address_source?: unknown;
  } | null;
}

/** Result of asking whether a WebSocket upgrade would be accepted. */
export type CheckAnswer =
  | { readonly kind: 'none'; readonly detail: string }
  | {
      readonly kind: 'answer';
      readonly status: number;
      /** `undefined` if the response is not from a Roundtable server. */
      readonly code: string | undefined;
      readonly data: Envelope['data'];
      readonly retryMs: number;
    };

/** User-facing failures by the code of a refused upgrade. */
const REFUSALS: ReadonlyMap<unknown, FailureCode> = new Map([
  ['ORIGIN_NOT_ALLOWED', 'origin_refused'],
  ['TOO_MANY_CONNECTIONS', 'too_many_connections'],
  ['SERVER_FULL', 'server_full'],
  ['PATH_STRIPPED', 'path_changed'],
  ['PATH_WRONG', 'path_changed'],
]);

/** Finds out why a server cannot be reached. One request at a time; the result of a cancelled one is dropped. */
export class Diagnosis {
  readonly #options: DiagnosisOptions;
  #question: AbortController | undefined;

  constructor(options: DiagnosisOptions) {
    this.#options = options;
  }

  /** Calls `tell` with the cause, unless cancelled first. Does nothing while a request is in progress. */
  async ask(tell: (failure: Failure) => void): Promise<void> {
    if (this.#question !== undefined) return;
    const { fetch, checkUrl, clock } = this.#options;
    const question = new AbortController();
    this.#question = question;
    const failure = diagnose(checkUrl, await askCheck(fetch, checkUrl, clock, question));
    if (this.#question !== question) return;
    this.#question = undefined;
    tell(failure);
  }

  cancel(): void {
    this.#question?.abort();
    this.#question = undefined;
  }
}

/** Sends `POST v1/check` (R76), since browsers do not say why a WebSocket failed. Never rejects. */
export function askCheck(
  fetch: Fetch,
  checkUrl: string,
  clock: Clock,
  question?: AbortController,
): Promise<CheckAnswer> {
  return ask(fetch, checkUrl, clock, 'POST', TIMEOUT_MS, question);
}

/**
 * Fetches the proof that this page comes from the server (R92). Resolves with `undefined` if the server is older or a
 * proxy forwards only the WebSocket. Never rejects.
 */
export async function fetchOriginProof(fetch: Fetch, url: string, clock: Clock): Promise<string | undefined> {
  const answer = await ask(fetch, url, clock, 'GET', PROOF_MS);
  const proof = answer.kind === 'answer' ? answer.data?.proof : undefined;
  return typeof proof === 'string' ? proof : undefined;
}

async function ask(
  fetch: Fetch,
  url: string,
  clock: Clock,
  method: 'GET' | 'POST',
  milliseconds: number,
  question = new AbortController(),
): Promise<CheckAnswer> {
  const timer = clock.setTimeout(() => {
    question.abort(new Error('no answer in time'));
  }, milliseconds);
  try {
    const response = await fetch(url, { method, signal: question.signal });
    const envelope = parse(await response.text());
    return {
      kind: 'answer',
      status: response.status,
      code: typeof envelope?.code === 'string' ? envelope.code : undefined,
      data: envelope?.data,
      // In seconds: the server does not send dates (RFC 9110 §10.2.3).
      retryMs: Number(response.headers.get('retry-after') ?? 0) * 1_000,
    };
  } catch (error) {
    return { kind: 'none', detail: String(error) };
  } finally {
    clock.clearTimeout(timer);
  }
}

/** Returns the user-facing failure for the code of a refused upgrade. */
export function refusalOf(code: string | undefined): FailureCode | undefined {
  return REFUSALS.get(code);
}

/** Derives why a signaling server cannot be reached. */
function diagnose(checkUrl: string, answer: CheckAnswer): Failure {
  if (answer.kind === 'none') return { code: 'server_unreachable', detail: answer.detail };
  const { status, retryMs } = answer;
  const code = refusalOf(answer.code);
  if (code) return { code, ...(retryMs > 0 && { retryMs }) };
  // The server is shutting down, or a proxy reports in its own words that it is down.
  if (status >= 500) return { code: 'server_unreachable', detail: `HTTP ${status}` };
  if (answer.code === 'SUCCESS' && answer.data?.name === 'roundtable') {
    return { code: 'server_unreachable', detail: 'the server answers HTTP, but not WebSocket' };
  }
  return { code: 'wrong_address', detail: checkUrl };
}

function parse(body: string): Envelope | undefined {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    // Most likely a web page.
    return undefined;
  }
}
