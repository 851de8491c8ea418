import { onBeforeUnmount, onMounted, ref, type Ref } from 'vue';

/** Full screen mode of the page. */
export interface FullScreen {
  /** `false` on some phones (iOS). */
  readonly available: boolean;
  readonly on: Ref<boolean>;
  readonly toggle: () => void;
}

/** Uses the Fullscreen API; the user may leave with Esc at any time. */
export function useFullScreen(): FullScreen {
  const on = ref(false);
  const update = (): void => {
    on.value = document.fullscreenElement !== null;
  };
  onMounted(() => {
    document.addEventListener('fullscreenchange', update);
    update();
  });
  onBeforeUnmount(() => {
    document.removeEventListener('fullscreenchange', update);
  });
  return {
    available: document.fullscreenEnabled,
    on,
    toggle: () => {
      // Read from the document: the event that sets `on` fires a little later.
      const asked = document.fullscreenElement
        ? document.exitFullscreen()
        : document.documentElement.requestFullscreen();
      // A refusal by the browser changes nothing.
      asked.catch(() => undefined);
    },
  };
}
