import { onBeforeUnmount, onMounted, ref, type Ref } from 'vue';

/** The whole page on the whole screen. */
export interface FullScreen {
  /** Telephones may not be able to (iOS). */
  readonly available: boolean;
  readonly on: Ref<boolean>;
  readonly toggle: () => void;
}

/** Full screen by the Fullscreen API; the person may end it by Esc at any time. */
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
      // Asked of the document itself: the event that sets `on` comes a little later.
      const asked = document.fullscreenElement
        ? document.exitFullscreen()
        : document.documentElement.requestFullscreen();
      // What the browser refuses leaves everything as it is.
      asked.catch(() => undefined);
    },
  };
}
