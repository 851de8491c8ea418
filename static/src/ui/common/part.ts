import { defineAsyncComponent, type Component } from 'vue';

const RETRY_MS = 1_000;
const MAX_RETRY_MS = 10_000;

/** A component that is loaded when it is wanted; while the server is away it is tried again and again. */
export function part<T extends Component>(load: () => Promise<{ default: T }>, meanwhile?: Component): T {
  return defineAsyncComponent<T>({
    loader: async () => (await load()).default,
    ...(meanwhile && { loadingComponent: meanwhile }),
    onError: (_error, retry, _fail, attempts) => {
      setTimeout(retry, Math.min(attempts * RETRY_MS, MAX_RETRY_MS));
    },
  });
}

/** A style sheet that did not come would be taken for loaded at the next try, because its `link` stands. */
export function forgetFailedStyles(): void {
  document.addEventListener(
    'error',
    ({ target }) => {
      if (target instanceof HTMLLinkElement) target.remove();
    },
    // What fails to load does not bubble.
    { capture: true },
  );
}
