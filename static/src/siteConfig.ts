/**
 * Where the signaling server is, as `config.json` in the root of the dist says. Whoever serves the page edits that file;
 * nothing has to be built again.
 */

/** The file as it is shipped, an empty object, or a web page in place of a missing file. */
const DEFAULT = /^\s*(<|\{\s*("signal_api"\s*:\s*"signal-api\/"\s*)?\}\s*$)/;

/**
 * Reads the file: the address of the signaling server, relative to the root; `undefined` for the default. Where the file
 * is wrong, the page says so in place of everything else, and this never resolves.
 */
export async function signalApi(): Promise<string | undefined> {
  // Not from a cache: a web server without a rule for it lets browsers keep the file for days after an edit.
  const answer = await fetch(`${document.documentElement.dataset.base ?? './'}config.json`, {
    cache: 'no-cache',
  });
  // The file may be there: it is asked for again.
  if (answer.status >= 500) throw new Error();
  const text = answer.ok ? await answer.text() : '<';
  return DEFAULT.test(text) ? undefined : (await import('./customConfig')).customApi(text);
}
