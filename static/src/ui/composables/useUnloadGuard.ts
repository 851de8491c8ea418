import { onBeforeUnmount, watch } from 'vue';

/** Makes the browser ask before unloading the page while something would be lost. */
export function useUnloadGuard(losing: () => boolean): void {
  const stay = (event: BeforeUnloadEvent): void => {
    event.preventDefault();
  };
  // Only while needed: a page with this listener is not kept in the back/forward cache.
  watch(losing, (now) => {
    if (now) window.addEventListener('beforeunload', stay);
    else window.removeEventListener('beforeunload', stay);
  });
  onBeforeUnmount(() => {
    window.removeEventListener('beforeunload', stay);
  });
}
