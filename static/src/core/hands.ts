import type { Roster } from './roster';

/**
 * Returns the ids of members with a raised hand, earliest first. The server announces states in the order in which
 * they changed, and a snapshot contains the version of each hand's announcement (R21), so every page has the same
 * order. If a server does not send these versions, the hands in its snapshots come first, in join order.
 *
 * @param self the user's own id
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
