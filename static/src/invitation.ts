/**
 * Credentials for a room besides its name: the token behind the `#` of the address, and the host key of a room that
 * was created in this browser. Neither ever appears in a server's log.
 */

/** Number of rooms whose keys are kept; the oldest is dropped. */
const KEPT_ROOMS = 50;
const STORE = 'roundtable.host-keys';

/** Removes the token from the address (`#token=…`), so that it is not copied with the link. */
export function takeToken(): string | undefined {
  const token = new URLSearchParams(location.hash.slice(1)).get('token');
  if (token === null || token === '') return undefined;
  history.replaceState(history.state, '', location.pathname + location.search);
  return token;
}

/** Listens for tokens that are put into the address later (R61). */
export function watchTokens(listener: (token: string) => void): void {
  addEventListener('hashchange', () => {
    const token = takeToken();
    if (token !== undefined) listener(token);
  });
}

/** Notifies the embedding page, and scripts of this page, that the token expires soon. */
export function tellExpiring(expiresInMs: number): void {
  const detail = { expires_in_ms: expiresInMs };
  document.dispatchEvent(new CustomEvent('roundtable:token-expiring', { detail }));
  // To a parent of any origin: `frame-ancestors` restricts which parents are possible.
  if (parent !== window) parent.postMessage({ type: 'roundtable:token-expiring', ...detail }, '*');
}

/** Returns the host key of a room that was created in this browser. */
export function hostKeyOf(room: string): string | undefined {
  return stored().find(([name]) => name === room)?.[1];
}

/** Stores the host key of a room. */
export function keepHostKey(room: string, key: string): void {
  const others = stored().filter(([name]) => name !== room);
  const all = [...others, [room, key]].slice(-KEPT_ROOMS);
  try {
    localStorage.setItem(STORE, JSON.stringify(all));
  } catch {
    // Storage is unavailable to some embedded and private pages: then the first member becomes host.
  }
}

function stored(): [string, string][] {
  try {
    const list: unknown = JSON.parse(localStorage.getItem(STORE) ?? '[]');
    return Array.isArray(list) ? list.filter(isPair) : [];
  } catch {
    return [];
  }
}

function isPair(entry: unknown): entry is [string, string] {
  return Array.isArray(entry) && typeof entry[0] === 'string' && typeof entry[1] === 'string';
}
