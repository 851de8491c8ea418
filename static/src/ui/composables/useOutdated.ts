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

/** Whether the page should be loaded anew, which only the person does: a call goes on. */
export interface Outdated {
  /** There is a reason. */
  readonly needed: ComputedRef<boolean>;
  /** The person wants to hear no more of it. */
  readonly dismissed: Readonly<Ref<boolean>>;
  readonly dismiss: () => void;
}

const key: InjectionKey<Outdated> = Symbol('outdated');

/**
 * For the page of a meeting: watches the server's version, and parts of the page that are no more.
 *
 * @param upgraded the version of the server, where it is another now
 * @param reachable whether the server is there: otherwise parts are only late
 */
export function provideOutdated(upgraded: () => string | undefined, reachable: () => boolean): Outdated {
  const gone = shallowReactive(new Set<string>());
  const dismissed = ref(false);
  const lose = ({ payload }: VitePreloadErrorEvent): void => {
    // What is tried again and again is said once.
    if (prefetch.isRunning || !reachable() || gone.has(payload.message)) return;
    gone.add(payload.message);
    dismissed.value = false;
  };
  // Vite's event for a part that was to be loaded late and could not be.
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

/** For whatever is in the page. */
export function useOutdated(): Outdated {
  const outdated = inject(key);
  if (outdated === undefined) throw new Error('useOutdated outside of a meeting');
  return outdated;
}
