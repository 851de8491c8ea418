/** Creates rooms through the server: an unguessable name, and the key that makes its holder a host (R57). */
import { type Address, isRoomName, newRoomName } from './address';

/** Timeout of the request. Without an answer, the room's page reports what is wrong. */
const ANSWER_MS = 3_000;

/** A room to go to. */
export interface NewRoom {
  readonly room: string;
  /** Host key for the `join`; `undefined` if the server issues none. */
  readonly hostKey?: string;
}

/** The part of `fetch` that this module uses. */
type Post = (
  url: string,
  options: { method: 'POST'; signal: AbortSignal },
) => Promise<Pick<Response, 'json'>>;

/** Requests a room. Without an answer, generates a name locally. */
export async function newRoom(
  address: Address,
  post: Post = (url, options) => fetch(url, options),
): Promise<NewRoom> {
  try {
    const answer = await post(address.http('rooms'), {
      method: 'POST',
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    const { data } = (await answer.json()) as { data?: { room?: unknown; host_key?: unknown } };
    if (typeof data?.room === 'string' && isRoomName(data.room)) {
      const { room, host_key } = data;
      return { room, ...(typeof host_key === 'string' && { hostKey: host_key }) };
    }
  } catch {
    // No server, or one too old to create rooms.
  }
  return { room: newRoomName() };
}
