import { onBeforeUnmount, watch } from 'vue';

/** While something would be lost with the page, the browser asks before it goes. */
export function useUnloadGuard(losing: () => boolean): void {
  const stay = (event: BeforeUnloadEvent): void => {
    event.preventDefault();
  };
  // Only while it is wanted: a page that listens for this is not kept in the back/forward cache.
  watch(losing, (now) => {
    if (now) window.addEventListener('beforeunload', stay);
    else window.removeEventListener('beforeunload', stay);
  });
  onBeforeUnmount(() => {
    window.removeEventListener('beforeunload', stay);
  });
}
