import type { PageOptions } from './core';

/** The page's environment apart from its address; tests replace it. */
export interface OpenedPage {
  /** Set once the user has clicked or typed on the page. */
  readonly hasBeenActive: boolean;
  readonly isFramed: boolean;
  /** Fetches the Content-Security-Policy of the page's address. */
  readonly policy: () => Promise<string | null>;
}

/**
 * Decides whether a page opened with `autojoin=1` joins at once.
 *
 * Any website can open such an address in a browser that has allowed the devices before. With devices on, the page
 * therefore joins only after a person has used it, or in a frame whose ancestors are listed by `frame-ancestors`: the
 * browser has checked each of them before the page was loaded (CSP3 §6.4.2.1).
 */
export function mayAutojoin(options: PageOptions, page: OpenedPage): boolean | Promise<boolean> {
  if (!options.autojoin) return false;
  if (page.hasBeenActive || (options.audio === false && options.video === false)) return true;
  if (!page.isFramed) return false;
  return page.policy().then(
    (policy) => /(^|[;,])\s*frame-ancestors\s/i.test(policy ?? ''),
    () => false,
  );
}

/** Environment of the page that runs this script. */
export const thisPage = (): OpenedPage => ({
  // Old browsers lack this API.
  hasBeenActive: (navigator as { userActivation?: UserActivation }).userActivation?.hasBeenActive ?? false,
  isFramed: window.parent !== window,
  policy: async () => {
    const answer = await fetch(location.href, { method: 'HEAD', cache: 'no-store' });
    return answer.headers.get('content-security-policy');
  },
});
