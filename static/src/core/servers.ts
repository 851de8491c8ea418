/**
 * Detects several servers that answer in turn and do not share rooms, as behind a proxy with two upstream servers and
 * no Redis: people in the same room do not see each other.
 */
import { askCheck, type DiagnosisOptions } from './diagnosis';

/** Maximum number of requests. Two servers in strict alternation are detected after three. */
const REQUESTS = 8;

/**
 * Requests `v1/check` several times to see which server answers, always for the same room, because a proxy may choose
 * the server by room. Stops when the first answers all come from one server. Never rejects.
 *
 * @param least number of answers from one server that are enough
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
    // An instance that reappears after another one proves alternation; a restart would not bring it back.
    if (seen.includes(data.instance) && seen.at(-1) !== data.instance) return !areShared;
    seen.push(data.instance);
    if (seen.length >= least && new Set(seen).size === 1) return false;
  }
  return false;
}
