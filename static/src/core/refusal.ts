/** Maps the server's error and close codes to user-facing failures: docs/PROTOCOL.md, "Errors" and "Close codes". */
import type { ErrorBody } from '../protocol/messages';
import type { Failure, FailureCode } from './types';

/** Close codes after which the client does not reconnect. */
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
/** Close code of a server that does not accept the page's origin (R92). */
export const ORIGIN_CLOSE = 4012;
/**
 * Close codes explained by the error message before them. 4011 asks the client to return after a delay (R66, R67,
 * R75, R78).
 */
export const TOLD_CLOSES: readonly (number | undefined)[] = [4011, ORIGIN_CLOSE];
/** Close codes that indicate a defect on one side. */
export const PROTOCOL_ERROR_CLOSES: readonly (number | undefined)[] = [1002, 1007, 1009];

/** Failures by the server's token errors. */
const TOKEN_FAILURES: ReadonlyMap<string, FailureCode> = new Map([
  ['token_missing', 'token_missing'],
  ['token_expired', 'token_expired'],
  ['token_invalid', 'token_refused'],
  ['token_not_yet_valid', 'token_refused'],
  ['token_wrong_room', 'token_refused'],
  ['token_revoked', 'token_refused'],
  ['token_in_use', 'token_refused'],
]);

/** Returns why a member is not admitted or no longer admitted: permanently, or temporarily (`retryMs`). */
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

/**
 * Returns the token failure for which the server is about to close the connection (R62); `undefined` for other
 * errors.
 */
export function tokenEnd({ code, message, re }: ErrorBody): Failure | undefined {
  const token = re === undefined ? TOKEN_FAILURES.get(code) : undefined;
  return token && { code: token, detail: message };
}
