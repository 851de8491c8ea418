import { defineAsyncComponent, type Component } from 'vue';
import { pauseAfter } from '../../late';

/** A component that is loaded when it is wanted; while the server is away it is tried again and again. */
export function part<T extends Component>(load: () => Promise<{ default: T }>, meanwhile?: Component): T {
  return defineAsyncComponent<T>({
    loader: async () => (await load()).default,
    ...(meanwhile && { loadingComponent: meanwhile }),
    onError: (_error, retry, _fail, attempts) => {
      setTimeout(retry, pauseAfter(attempts));
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
