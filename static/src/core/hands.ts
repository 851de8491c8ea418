/** The order in which hands were raised. */
import type { Roster } from './roster';

/**
 * Ids of those whose hand is up, the earliest first. The server announces states in the order in which they changed
 * (R21), so every page that was there sees the same order. Hands that a snapshot shows for the first time follow those
 * that are known, in the order in which their owners joined.
 *
 * @param hands the order before
 * @param self one's own id, if the room knows one's hand to be up
 */
export function nextHands(
  hands: readonly string[],
  { peers }: Pick<Roster, 'peers'>,
  self: string | undefined,
): readonly string[] {
  const raised = peers.filter(({ state }) => state.hand === true).map(({ id }) => id);
  if (self !== undefined) raised.push(self);
  const kept = hands.filter((id) => raised.includes(id));
  const added = raised.filter((id) => !kept.includes(id));
  return kept.length === hands.length && added.length === 0 ? hands : [...kept, ...added];
}
