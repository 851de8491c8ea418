/**
 * Chat permissions by role and token (R108). Chat goes from browser to browser, so each page checks incoming messages
 * against the sender's role and permissions as announced by the server.
 */
import type { Role } from '../../protocol/messages';

/**
 * The role in which a member writes; `undefined` if the token does not permit writing. Listeners may write to hosts
 * only.
 */
export type Writer = Role | undefined;

/** Returns a member's writing role. `permissions` are those of a token, if it restricts them (R59). */
export function writerOf(role: Role, permissions?: readonly string[]): Writer {
  return permissions?.includes('broadcast') === false ? undefined : role;
}

/** Returns whether a member may write to everyone and offer files. */
export function isFree(writer: Writer): boolean {
  return writer === 'host' || writer === 'participant';
}
