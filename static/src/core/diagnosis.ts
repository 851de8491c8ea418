import type { Clock } from './clock';
import type { Failure, FailureCode } from './types';

/** The part of `fetch` that the core uses. */
export type Fetch = (
  url: string,
  options: { method: 'GET' | 'POST'; signal: AbortSignal },
) => Promise<Pick<Response, 'status' | 'text'> & { readonly headers: Pick<Headers, 'get'> }>;

/** After so long without an answer there is none. */
const TIMEOUT_MS = 8_000;
/** Less than a server waits for the proof in a `join`. */
const PROOF_MS = 4_000;

/** What a `Diagnosis` is made of. */
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

/** What comes of asking whether a WebSocket would be let in. */
export type CheckAnswer =
  | { readonly kind: 'none'; readonly detail: string }
  | {
      readonly kind: 'answer';
      readonly status: number;
      /** `undefined` where it is no answer of a server of ours. */
      readonly code: string | undefined;
      readonly data: Envelope['data'];
      readonly retryMs: number;
    };

/** What a refused upgrade means for a person. */
const REFUSALS: ReadonlyMap<unknown, FailureCode> = new Map([
  ['ORIGIN_NOT_ALLOWED', 'origin_refused'],
  ['TOO_MANY_CONNECTIONS', 'too_many_connections'],
  ['SERVER_FULL', 'server_full'],
  ['PATH_STRIPPED', 'path_changed'],
  ['PATH_WRONG', 'path_changed'],
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

/** Asks `POST v1/check` (R76), as a browser does not say why a WebSocket failed. Never rejects. */
export function askCheck(
  fetch: Fetch,
  checkUrl: string,
  clock: Clock,
  question?: AbortController,
): Promise<CheckAnswer> {
  return ask(fetch, checkUrl, clock, 'POST', TIMEOUT_MS, question);
}

/**
 * Fetches the proof that this page is the server's own (R92); `undefined` where there is none: from an older server, or
 * behind a proxy that forwards the WebSocket alone. Never rejects.
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
      // In seconds: the server says no dates (RFC 9110 §10.2.3).
      retryMs: Number(response.headers.get('retry-after') ?? 0) * 1_000,
    };
  } catch (error) {
    return { kind: 'none', detail: String(error) };
  } finally {
    clock.clearTimeout(timer);
  }
}

/** What a code with which an upgrade is refused means for a person. */
export function refusalOf(code: string | undefined): FailureCode | undefined {
  return REFUSALS.get(code);
}

/** Why a signaling server cannot be reached. */
function diagnose(checkUrl: string, answer: CheckAnswer): Failure {
  if (answer.kind === 'none') return { code: 'server_unreachable', detail: answer.detail };
  const { status, retryMs } = answer;
  const code = refusalOf(answer.code);
  if (code) return { code, ...(retryMs > 0 && { retryMs }) };
  // The server shuts down, or is down and the proxy before it says so in its own words.
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
    // A web page, most likely.
    return undefined;
  }
}
