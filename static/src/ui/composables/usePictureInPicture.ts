import { onBeforeUnmount, onMounted, ref, type Ref } from 'vue';

/** One of the room's videos in a window above all others. */
export interface PictureInPicture {
  /** Firefox has a button of its own instead. */
  readonly available: boolean;
  readonly on: Ref<boolean>;
  /** To be called in a gesture. */
  readonly toggle: () => void;
}

/** What is shown large, or else somebody with a picture. */
const CANDIDATES = ['[data-large] video', '[data-peer-id] video.shown', '[data-self] video.shown'];

/** Picture-in-picture (W3C Picture-in-Picture) of what matters most in the room. */
export function usePictureInPicture(): PictureInPicture {
  const on = ref(false);
  const update = (): void => {
    on.value = document.pictureInPictureElement !== null;
  };
  // Both events bubble from the video.
  const events = ['enterpictureinpicture', 'leavepictureinpicture'] as const;
  onMounted(() => {
    for (const event of events) document.addEventListener(event, update);
  });
  onBeforeUnmount(() => {
    for (const event of events) document.removeEventListener(event, update);
    if (on.value) void document.exitPictureInPicture();
  });
  const available = 'pictureInPictureEnabled' in document && document.pictureInPictureEnabled;
  return {
    available,
    on,
    toggle: () => {
      if (!available) return;
      const video = CANDIDATES.map((each) => document.querySelector<HTMLVideoElement>(each)).find(Boolean);
      const asked = on.value ? document.exitPictureInPicture() : video?.requestPictureInPicture();
      // A video without a picture has none to give.
      asked?.catch(() => undefined);
    },
  };
}
