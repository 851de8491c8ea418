/**
 * Address of the signaling server from `config.json` in the root of the dist. Operators edit that file; nothing has
 * to be rebuilt.
 */

/** The file as shipped, an empty object, or a web page in place of a missing file. */
const DEFAULT = /^\s*(<|\{\s*("signal_api"\s*:\s*"signal-api\/"\s*)?\}\s*$)/;

/**
 * Reads the file. Returns the address of the signaling server, relative to the root; `undefined` for the default. If
 * the file is invalid, the page shows that instead of everything else, and this never resolves.
 */
export async function signalApi(): Promise<string | undefined> {
  // Bypass the cache: if a web server has no rule for it, browsers keep the file for days after an edit.
  const answer = await fetch(`${document.documentElement.dataset.base ?? './'}config.json`, {
    cache: 'no-cache',
  });
  // The file may exist: the caller tries again.
  if (answer.status >= 500) throw new Error();
  const text = answer.ok ? await answer.text() : '<';
  return DEFAULT.test(text) ? undefined : (await import('./customConfig')).customApi(text);
}
