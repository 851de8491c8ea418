import { defineAsyncComponent, type Component } from 'vue';
import { pauseAfter } from '../../late';

/** Whether parts are being loaded that nobody waits for: if one fails, it is no reason to ask for a reload. */
export const prefetch = { isRunning: false };

/** A component that is loaded when it is wanted; while the server is away it is tried again and again. */
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
 * A style sheet that did not come is asked for again, until it does. Vite loads each once, and takes it for loaded where
 * its `link` stands: the next try of a part, or another part of the same style, would go on without it for good.
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
    // What fails to load does not bubble.
    { capture: true },
  );
}
