import { defineAsyncComponent, type Component } from 'vue';
import { pauseAfter } from '../../late';

/** Set while parts are being prefetched: a failure then is no reason to ask for a reload. */
export const prefetch = { isRunning: false };

/** Creates a component that is loaded on demand, retrying while the server cannot be reached. */
export function part<T extends Component>(
  load: () => Promise<{ default: T }>,
  meanwhile?: Component,
  onLate?: () => void,
): T {
  return defineAsyncComponent<T>({
    loader: async () => (await load()).default,
    ...(meanwhile && { loadingComponent: meanwhile }),
    onError: (_error, retry, _fail, attempts) => {
      onLate?.();
      setTimeout(retry, pauseAfter(attempts));
    },
  });
}

/**
 * Retries style sheets that failed to load. Vite requests each one once, and considers it loaded as soon as its
 * `link` exists: the next attempt for a part, or another part with the same style, would stay without it.
 */
export function retryStyles(): void {
  const attempts = new Map<string, number>();
  document.addEventListener(
    'error',
    ({ target }) => {
      if (!(target instanceof HTMLLinkElement)) return;
      target.remove();
      if (target.rel !== 'stylesheet') return;
      const tried = (attempts.get(target.href) ?? 0) + 1;
      attempts.set(target.href, tried);
      setTimeout(() => {
        const sheets = [...document.querySelectorAll<HTMLLinkElement>('link[rel=stylesheet]')];
        if (!sheets.some(({ href }) => href === target.href)) document.head.append(target.cloneNode());
      }, pauseAfter(tried));
    },
    // Load errors do not bubble.
    { capture: true },
  );
}
