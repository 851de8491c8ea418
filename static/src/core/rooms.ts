/** Rooms that are made by asking the server: a name that nobody guesses, and the key that makes a host there (R57). */
import { type Address, isRoomName, newRoomName } from './address';

/** How long the server may take; without an answer the page of the room says what is wrong. */
const ANSWER_MS = 3_000;

/** A room to go to. */
export interface NewRoom {
  readonly room: string;
  /** Shown in the `join`; `undefined` where rooms have none. */
  readonly hostKey?: string;
}

/** The part of `fetch` that this uses. */
type Post = (
  url: string,
  options: { method: 'POST'; signal: AbortSignal },
) => Promise<Pick<Response, 'json'>>;

/** Asks for a room. Where nobody answers, a name is made here. */
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
    // No server, or one before this one.
  }
  return { room: newRoomName() };
}
