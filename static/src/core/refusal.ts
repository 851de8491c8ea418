/** What the server's codes mean for a person: docs/PROTOCOL.md, "Errors" and "Close codes". */
import type { ErrorBody } from '../protocol/messages';
import type { Failure, FailureCode } from './types';

/** Closes after which nothing is tried again. */
export const FINAL_CLOSES: ReadonlyMap<number | undefined, FailureCode> = new Map([
  [4003, 'room_full'],
  [4004, 'superseded'],
  [4006, 'room_locked'],
  [4007, 'lobby_refused'],
  [4008, 'removed'],
  [4009, 'ended'],
  [4010, 'token_refused'],
  [4013, 'host_absent'],
]);
/** The server does not take the page for its own (R92). */
export const ORIGIN_CLOSE = 4012;
/** Closes whose reason the error before has told; the other one asks to come again after a hint (R66, R67, R75, R78). */
export const TOLD_CLOSES: readonly (number | undefined)[] = [4011, ORIGIN_CLOSE];
/** A defect on one side. */
export const PROTOCOL_ERROR_CLOSES: readonly (number | undefined)[] = [1002, 1007, 1009];

/** What the server says of a token. */
const TOKEN_FAILURES: ReadonlyMap<string, FailureCode> = new Map([
  ['token_missing', 'token_missing'],
  ['token_expired', 'token_expired'],
  ['token_invalid', 'token_refused'],
  ['token_not_yet_valid', 'token_refused'],
  ['token_wrong_room', 'token_refused'],
  ['token_revoked', 'token_refused'],
  ['token_in_use', 'token_refused'],
]);

/** Why somebody is not let in, or not any more, for good or (`retryMs`) for now. */
export function joinFailure({ code, message, retry_after_ms }: ErrorBody): Failure {
  if (retry_after_ms !== undefined) {
    if (code === 'busy') return { code: 'servers_busy', detail: message, retryMs: retry_after_ms };
    const known = code === 'server_full' || code === 'rate_limited';
    return { code: known ? code : 'too_many_attempts', detail: message, retryMs: retry_after_ms };
  }
  if (code === 'name_invalid' || code === 'room_full' || code === 'room_locked')
    return { code, detail: message };
  if (code === 'origin_not_allowed') return { code: 'origin_refused', detail: message };
  const token = TOKEN_FAILURES.get(code);
  if (token) return { code: token, detail: message };
  return { code: 'protocol_error', detail: `${code}: ${message}` };
}

/** Why the server is about to close for a token's sake (R62); nothing where it is not. */
export function tokenEnd({ code, message, re }: ErrorBody): Failure | undefined {
  const token = re === undefined ? TOKEN_FAILURES.get(code) : undefined;
  return token && { code: token, detail: message };
}
