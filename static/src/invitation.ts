/**
 * What lets a person in besides the name of the room: the token that came behind the `#` of the address, and the
 * key of a room that was made in this browser. Neither is ever in what a server logs.
 */

/** Rooms whose keys are kept; the oldest is forgotten. */
const KEPT_ROOMS = 50;
const STORE = 'roundtable.host-keys';

/** Takes the token out of the address (`#token=…`), so that nobody copies it with the link. */
export function takeToken(): string | undefined {
  const token = new URLSearchParams(location.hash.slice(1)).get('token');
  if (token === null || token === '') return undefined;
  history.replaceState(history.state, '', location.pathname + location.search);
  return token;
}

/** Takes each token that is put into the address later (R61). */
export function watchTokens(listener: (token: string) => void): void {
  addEventListener('hashchange', () => {
    const token = takeToken();
    if (token !== undefined) listener(token);
  });
}

/** Tells whoever opened the page, around it or within it, that the token ends soon. */
export function tellExpiring(expiresInMs: number): void {
  const detail = { expires_in_ms: expiresInMs };
  document.dispatchEvent(new CustomEvent('roundtable:token-expiring', { detail }));
  // To a parent of any origin: `frame-ancestors` says which there may be.
  if (parent !== window) parent.postMessage({ type: 'roundtable:token-expiring', ...detail }, '*');
}

/** The key of a room that was made in this browser. */
export function hostKeyOf(room: string): string | undefined {
  return stored().find(([name]) => name === room)?.[1];
}

/** Keeps the key of a room. */
export function keepHostKey(room: string, key: string): void {
  const others = stored().filter(([name]) => name !== room);
  const all = [...others, [room, key]].slice(-KEPT_ROOMS);
  try {
    localStorage.setItem(STORE, JSON.stringify(all));
  } catch {
    // Storage is closed to some embedded and private pages: then whoever comes first is host.
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
