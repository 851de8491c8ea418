import {
  computed,
  inject,
  onBeforeUnmount,
  onMounted,
  provide,
  shallowReactive,
  watch,
  type ComputedRef,
  type InjectionKey,
} from 'vue';

/** Playback of people's videos, with sound as soon as the browser allows it. */
export interface Sound {
  /** A video is muted until a user gesture. */
  readonly blocked: ComputedRef<boolean>;
  play(video: HTMLVideoElement): Promise<void>;
  /** Call it before a video is removed. */
  forget(video: HTMLVideoElement): void;
  /** Call it during a user gesture. */
  unblock(): void;
}

const key: InjectionKey<Sound> = Symbol('sound');

/** Provides the sound of a room, on the speaker with this id, to the tiles below. */
export function provideSound(speaker: () => string): Sound {
  const silenced = shallowReactive(new Set<HTMLVideoElement>());
  const playing = new Set<HTMLVideoElement>();

  function direct(video: HTMLVideoElement): void {
    if (video.muted || !('setSinkId' in video) || video.sinkId === speaker()) return;
    video.setSinkId(speaker()).catch(() => {
      // Chromium can route only videos that already have sound: `playing` fires again when they do. Or the speaker
      // was just unplugged: the sound stays where it was until the next device list.
    });
  }
  watch(speaker, () => {
    playing.forEach(direct);
  });

  async function play(video: HTMLVideoElement): Promise<void> {
    if (!playing.has(video)) {
      playing.add(video);
      video.addEventListener('playing', () => {
        direct(video);
      });
    }
    direct(video);
    try {
      await video.play();
    } catch (error) {
      if (!(error instanceof DOMException && error.name === 'NotAllowedError') || video.muted) return;
      // At least the picture may play.
      video.muted = true;
      silenced.add(video);
      await play(video);
    }
  }
  function unblock(): void {
    for (const video of [...silenced]) {
      silenced.delete(video);
      video.muted = false;
      void play(video);
    }
  }
  const sound: Sound = {
    blocked: computed(() => silenced.size > 0),
    play,
    forget: (video) => {
      playing.delete(video);
      silenced.delete(video);
    },
    unblock,
  };

  // Any gesture will do. These events count as user activation (HTML).
  const gestures = ['pointerup', 'keydown'] as const;
  onMounted(() => {
    for (const gesture of gestures) document.addEventListener(gesture, unblock);
  });
  onBeforeUnmount(() => {
    for (const gesture of gestures) document.removeEventListener(gesture, unblock);
  });
  provide(key, sound);
  return sound;
}

/** Returns the sound of the surrounding room. */
export function useSound(): Sound {
  const sound = inject(key);
  if (sound === undefined) throw new Error('useSound outside of a room');
  return sound;
}
