/**
 * Rights in chat by roles and tokens (R108). Chat goes from browser to browser: everybody checks what the others send, by
 * what the server says of them.
 */
import type { Role } from '../../protocol/messages';

/** The role in which somebody writes; `undefined` where the token does not permit it. Listeners write to hosts alone. */
export type Writer = Role | undefined;

/** Returns the rights of a member; `permissions` are those of a token, if it restricts them (R59). */
export function writerOf(role: Role, permissions?: readonly string[]): Writer {
  return permissions?.includes('broadcast') === false ? undefined : role;
}

/** Returns whether a member may write to everyone and offer files. */
export function isFree(writer: Writer): boolean {
  return writer === 'host' || writer === 'participant';
}
