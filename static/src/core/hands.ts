/** The order in which hands were raised. */
import type { Roster } from './roster';

/**
 * Returns the ids of those whose hand is up, the earliest first. The server announces states in the order in which they
 * changed, and a snapshot says with which version each hand was announced (R21), so every page has the same order. Hands
 * in a snapshot of a server that does not say it are the earliest, in the order in which their owners joined.
 *
 * @param self one's own id
 */
export function handsInOrder(
  { peers, handSince }: Pick<Roster, 'peers' | 'handSince'>,
  self: string | undefined,
): readonly string[] {
  const raised = peers
    .filter(({ state }) => state.hand === true)
    .map(({ id, hand_since: since = 0 }) => ({ id, since }));
  if (self !== undefined && handSince !== undefined) raised.push({ id: self, since: handSince });
  return raised.sort((one, other) => one.since - other.since).map(({ id }) => id);
}
