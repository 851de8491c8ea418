import { onBeforeUnmount, onMounted, ref, type Ref } from 'vue';

/** One of the room's videos in a window above all others. */
export interface PictureInPicture {
  /** Firefox has a button of its own instead. */
  readonly available: boolean;
  readonly on: Ref<boolean>;
  /** To be called in a gesture. */
  readonly toggle: () => void;
}

/** What is shown large, or else somebody: with a picture, because without one a video has none to give. */
const CANDIDATES = [
  '[data-large] video.shown, [data-large][data-screen-of] video',
  '[data-peer-id] video.shown',
  '[data-self] video.shown',
];

/** Picture-in-picture (W3C Picture-in-Picture) of what matters most in the room. */
export function usePictureInPicture(): PictureInPicture {
  const on = ref(false);
  const update = (): void => {
    on.value = Boolean(document.pictureInPictureElement);
  };
  const entered = ({ target }: Event): void => {
    update();
    // On the video itself: if its person leaves, it is no longer in the document that this would bubble to.
    target?.addEventListener('leavepictureinpicture', update, { once: true });
  };
  const exit = (): void => {
    // It may have ended by itself, which is as good.
    document.exitPictureInPicture().catch(() => undefined);
  };
  onMounted(() => {
    document.addEventListener('enterpictureinpicture', entered);
  });
  onBeforeUnmount(() => {
    document.removeEventListener('enterpictureinpicture', entered);
    if (document.pictureInPictureElement) exit();
  });
  const available = 'pictureInPictureEnabled' in document && document.pictureInPictureEnabled;
  return {
    available,
    on,
    toggle: () => {
      if (!available) return;
      if (document.pictureInPictureElement) {
        exit();
        return;
      }
      const video = CANDIDATES.map((each) => document.querySelector<HTMLVideoElement>(each)).find(Boolean);
      // What the browser refuses leaves everything as it is.
      video?.requestPictureInPicture().catch(() => undefined);
    },
  };
}
