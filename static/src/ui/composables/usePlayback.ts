import { onBeforeUnmount, watch, type ShallowRef } from 'vue';
import { useSound } from './useSound';

/** Plays a stream in a tile's video, as long as the tile lives. */
export function usePlayback(
  video: Readonly<ShallowRef<HTMLVideoElement | null>>,
  stream: () => MediaStream | undefined,
  muted: () => boolean,
): void {
  // A picture-in-picture window does not close by itself when its video is removed.
  onBeforeUnmount(() => {
    if (video.value && document.pictureInPictureElement === video.value)
      document.exitPictureInPicture().catch(() => undefined);
  });
  const sound = useSound();
  watch([video, stream], ([element, stream]) => {
    if (element === null) return;
    element.muted = muted();
    element.srcObject = stream ?? null;
    if (stream !== undefined) void sound.play(element);
  });
  onBeforeUnmount(() => {
    if (video.value === null) return;
    sound.forget(video.value);
    video.value.srcObject = null;
  });
}
