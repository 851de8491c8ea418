/**
 * Detects several servers that answer in turn and do not share rooms, as behind a proxy with two upstream servers and no
 * Redis: people in the same room do not see each other.
 */
import { askCheck, type DiagnosisOptions } from './diagnosis';

/** Most requests. Two servers in strict turn show after three. */
const REQUESTS = 8;

/**
 * Asks `v1/check` several times which server answers, always for the same room, as a proxy may choose the server by it.
 * Stops when the first answers come from one server. Never rejects.
 *
 * @param least how many answers from one server are enough
 */
export async function areServersApart(
  { fetch, checkUrl, clock }: DiagnosisOptions,
  room: string,
  least = 3,
): Promise<boolean> {
  const seen: string[] = [];
  // Servers with Redis share their rooms.
  let areShared = true;
  while (seen.length < REQUESTS) {
    const answer = await askCheck(fetch, `${checkUrl}?room=${encodeURIComponent(room)}`, clock);
    const data = answer.kind === 'answer' ? answer.data : undefined;
    // A server of an earlier version has no ID.
    if (typeof data?.instance !== 'string') return false;
    areShared &&= data.cluster === true;
    // One that comes back after another one has not been restarted.
    if (seen.includes(data.instance) && seen.at(-1) !== data.instance) return !areShared;
    seen.push(data.instance);
    if (seen.length >= least && new Set(seen).size === 1) return false;
  }
  return false;
}
