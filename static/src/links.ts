/** Links from the landing page to rooms, in a form that this page's web server supports. */
import type { Address } from './core/address';
import { withoutInvisible } from './core/names';

/** A room that is never joined; its page is the same as that of any other. */
const PROBE = 'r/link-check';
/**
 * Text that only the room page contains. A history fallback that answers every path with `index.html` does not help.
 */
const MARK = 'data-base="../"';
/** Timeout; without an answer links are queries, which work on every web server. */
const ANSWER_MS = 2_000;

let asking: Promise<boolean> | undefined;

/** Returns whether the web server answers `r/<room>` with the room page; requested once per tab. */
export function answersRoomPaths(base: URL): Promise<boolean> {
  return (asking ??= known(base));
}

async function known(base: URL): Promise<boolean> {
  const key = `roundtable.room-paths ${base.pathname}`;
  const stored = storage()?.getItem(key);
  if (stored === 'yes' || stored === 'no') return stored === 'yes';
  try {
    const answer = await fetch(new URL(PROBE, base), {
      cache: 'no-store',
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    const answers = answer.ok && (await answer.text()).includes(MARK);
    // A server that is down says nothing about its rules.
    if (answer.status < 500) storage()?.setItem(key, answers ? 'yes' : 'no');
    return answers;
  } catch {
    asking = undefined;
    return false;
  }
}

/** Returns the tab's storage; it is unavailable to some embedded and private pages. */
function storage(): Storage | undefined {
  try {
    return sessionStorage;
  } catch {
    return undefined;
  }
}

/**
 * Builds the address of a room.
 *
 * @param from a query to append, or the user's input. A link to a room of this page keeps its token and its
 *   parameters; a link to another server does not, because they are for that server.
 */
export async function linkTo(address: Address, room: string, from: string): Promise<string> {
  const link = new URL(address.room(room, await answersRoomPaths(address.base)));
  let source: URL;
  try {
    source = new URL(from, address.base);
  } catch {
    return link.href;
  }
  if (!source.href.startsWith(address.base.href)) return link.href;
  for (const [name, value] of source.searchParams) if (name !== 'room') link.searchParams.append(name, value);
  link.hash = source.hash;
  return link.href;
}

/**
 * Returns the address of a room on another server, if the user's input is one, with or without `https://`. Rooms of
 * the same name on this server have other members.
 */
export function linkElsewhere(typed: string, base: URL): string | undefined {
  const text = withoutInvisible(typed).trim();
  const hasScheme = /^https?:\/\//i.test(text);
  // Without a scheme, the part before the path counts as a host only if it looks like one: `r/standup` is a room of
  // this server.
  if (!hasScheme && !/^(localhost|[^\s/?#]*[.:][^\s/?#]*)[/?]/i.test(text)) return undefined;
  let link: URL;
  try {
    link = new URL(hasScheme ? text : `https://${text}`);
  } catch {
    return undefined;
  }
  const isHere = link.host === base.host && link.pathname.startsWith(base.pathname);
  return isHere ? undefined : link.href;
}
