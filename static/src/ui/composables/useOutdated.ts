import {
  computed,
  inject,
  onBeforeUnmount,
  provide,
  ref,
  shallowReactive,
  watch,
  type ComputedRef,
  type InjectionKey,
  type Ref,
} from 'vue';
import { prefetch } from '../common/part';

/** State of the request to reload the page. Only the user reloads it, because a call continues without it. */
export interface Outdated {
  /** There is a reason to reload. */
  readonly needed: ComputedRef<boolean>;
  /** The user has dismissed the request. */
  readonly dismissed: Readonly<Ref<boolean>>;
  readonly dismiss: () => void;
}

const key: InjectionKey<Outdated> = Symbol('outdated');

/**
 * Watches the server's version and the availability of the page's parts, for the page of a meeting.
 *
 * @param upgraded the server's version, if it has changed
 * @param reachable whether the server can be reached: otherwise parts are only delayed
 */
export function provideOutdated(upgraded: () => string | undefined, reachable: () => boolean): Outdated {
  const gone = shallowReactive(new Set<string>());
  const dismissed = ref(false);
  const lose = ({ payload }: VitePreloadErrorEvent): void => {
    // Repeated failures of the same part are reported once.
    if (prefetch.isRunning || !reachable() || gone.has(payload.message)) return;
    gone.add(payload.message);
    dismissed.value = false;
  };
  // Vite's event for a part that could not be loaded on demand.
  window.addEventListener('vite:preloadError', lose);
  onBeforeUnmount(() => {
    window.removeEventListener('vite:preloadError', lose);
  });
  watch(upgraded, () => {
    dismissed.value = false;
  });
  const outdated = {
    needed: computed(() => gone.size > 0 || upgraded() !== undefined),
    dismissed,
    dismiss: () => {
      dismissed.value = true;
    },
  };
  provide(key, outdated);
  return outdated;
}

/** Returns the reload state of the surrounding page. */
export function useOutdated(): Outdated {
  const outdated = inject(key);
  if (outdated === undefined) throw new Error('useOutdated outside of a meeting');
  return outdated;
}
