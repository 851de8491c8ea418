import { onBeforeUnmount, onMounted, ref, type Ref } from 'vue';

/** Picture-in-picture for one of the room's videos. */
export interface PictureInPicture {
  /** `false` in Firefox, which has a button of its own. */
  readonly available: boolean;
  readonly on: Ref<boolean>;
  /** Call it during a user gesture. */
  readonly toggle: () => void;
}

/** Candidates in order: the large tile, then any tile with a picture. A video without a picture cannot be shown. */
const CANDIDATES = [
  '[data-large] video.shown, [data-large][data-screen-of] video',
  '[data-peer-id] video.shown',
  '[data-self] video.shown',
];

/** Picture-in-picture (W3C Picture-in-Picture) of the most important video in the room. */
export function usePictureInPicture(): PictureInPicture {
  const on = ref(false);
  const update = (): void => {
    on.value = Boolean(document.pictureInPictureElement);
  };
  const entered = ({ target }: Event): void => {
    update();
    // On the video itself: if its person leaves, it is no longer in the document that the event would bubble to.
    target?.addEventListener('leavepictureinpicture', update, { once: true });
  };
  const exit = (): void => {
    // It may already have ended, which is just as well.
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
      // A refusal by the browser changes nothing.
      video?.requestPictureInPicture().catch(() => undefined);
    },
  };
}
