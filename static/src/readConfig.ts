/** Content of a valid `config.json`; a missing key means the default. */
export interface SiteConfig {
  /** Address of the signaling server. */
  readonly api?: string;
  /** Name of the service. */
  readonly name?: string;
  /** Path of an image in the dist. */
  readonly logo?: string;
  /** Colour of buttons and links, as `#rrggbb`. */
  readonly accent?: string;
}

/** A problem in a `config.json`: `values` fill the text `config.<problem>`. */
export interface ConfigProblem {
  readonly problem: 'json' | 'object' | 'key' | 'value' | 'insecure' | 'name' | 'logo' | 'accent';
  readonly values: Record<string, string>;
}

/**
 * An origin with a path, or a path. The server and nginx's start script derive the Content-Security-Policy from the
 * same form (src/http/site_config.rs, nginx/start/15-page.envsh), which allows no other characters.
 */
const ADDRESS = /^(?!\/\/)(?=.)(https?:\/\/[\w.-]+(:\d+)?(?=\/|$))?[\w.~%/-]*$/i;

/** Formats of the other keys. The Content-Security-Policy lets the page load images of its own origin only. */
const FORMS = {
  name: /^(?=.*\S).{1,40}$/u,
  logo: /^(?!\/)[\w.~%/-]+\.(svg|png|webp|jpe?g)$/i,
  accent: /^#[0-9a-f]{6}$/i,
} as const;

/** Parses a `config.json`. Returns its content or its problem. */
export function readConfig(text: string, pageProtocol: string): SiteConfig | ConfigProblem {
  let config: unknown;
  try {
    config = JSON.parse(text);
  } catch (error) {
    return { problem: 'json', values: { error: error instanceof Error ? error.message : '' } };
  }
  if (typeof config !== 'object' || config === null || Array.isArray(config)) {
    return { problem: 'object', values: {} };
  }
  const { signal_api: api, name, logo, accent, ...others } = config as Record<string, unknown>;
  const [key] = Object.keys(others);
  if (key !== undefined) return { problem: 'key', values: { key } };
  const wrong = (problem: ConfigProblem['problem'], value: unknown): ConfigProblem => ({
    problem,
    values: { value: JSON.stringify(value) },
  });
  if (api !== undefined) {
    if (typeof api !== 'string' || !ADDRESS.test(api) || !canParse(api)) return wrong('value', api);
    // A browser blocks this as mixed content, without telling the page.
    if (pageProtocol === 'https:' && /^http:/i.test(api))
      return { problem: 'insecure', values: { value: api } };
  }
  const look = { name, logo, accent };
  for (const each of ['name', 'logo', 'accent'] as const) {
    const value = look[each];
    if (value !== undefined && (typeof value !== 'string' || !FORMS[each].test(value)))
      return wrong(each, value);
  }
  const all = { api, ...look };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

/** Like `URL.canParse`, which browsers have only since 2023. */
function canParse(address: string): boolean {
  try {
    return Boolean(new URL(address, 'https://base.invalid/'));
  } catch {
    return false;
  }
}
