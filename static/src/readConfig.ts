/** What is wrong with a `config.json`: `values` fill in the text `config.<problem>`. */
export interface ConfigProblem {
  readonly problem: 'json' | 'object' | 'key' | 'value' | 'insecure';
  readonly values: Record<string, string>;
}

/**
 * An origin with a path, or a path. The server and the start script of nginx derive the Content-Security-Policy from the
 * same form (src/http/site.rs, nginx/start/15-page.envsh), which knows no other characters.
 */
const ADDRESS = /^(?!\/\/)(?=.)(https?:\/\/[\w.-]+(:\d+)?(?=\/|$))?[\w.~%/-]*$/i;

/** Reads a `config.json`: the address of the signaling server, `undefined` for the default, or what is wrong. */
export function readConfig(text: string, pageProtocol: string): string | ConfigProblem | undefined {
  let config: unknown;
  try {
    config = JSON.parse(text);
  } catch (error) {
    return { problem: 'json', values: { error: error instanceof Error ? error.message : '' } };
  }
  if (typeof config !== 'object' || config === null || Array.isArray(config)) {
    return { problem: 'object', values: {} };
  }
  const { signal_api: api, ...others } = config as Record<string, unknown>;
  const [key] = Object.keys(others);
  if (key !== undefined) return { problem: 'key', values: { key } };
  if (api === undefined) return undefined;
  if (typeof api !== 'string' || !ADDRESS.test(api) || !canParse(api)) {
    return { problem: 'value', values: { value: JSON.stringify(api) } };
  }
  // A browser blocks it as mixed content, without a word to the page.
  if (pageProtocol === 'https:' && /^http:/i.test(api))
    return { problem: 'insecure', values: { value: api } };
  return api;
}

/** `URL.canParse`, which browsers have only since 2023. */
function canParse(address: string): boolean {
  try {
    return Boolean(new URL(address, 'https://base.invalid/'));
  } catch {
    return false;
  }
}
