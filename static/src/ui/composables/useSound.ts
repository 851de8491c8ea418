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

/** Plays the people's videos, with sound as soon as the browser allows it. */
export interface Sound {
  /** Someone is played without sound until the person makes a gesture. */
  readonly blocked: ComputedRef<boolean>;
  play(video: HTMLVideoElement): Promise<void>;
  /** To be called before a video goes. */
  forget(video: HTMLVideoElement): void;
  /** To be called in a gesture. */
  unblock(): void;
}

const key: InjectionKey<Sound> = Symbol('sound');

/** Makes the sound of a room, on the speaker with an id, for the tiles below to use. */
export function provideSound(speaker: () => string): Sound {
  const silenced = shallowReactive(new Set<HTMLVideoElement>());
  const playing = new Set<HTMLVideoElement>();

  function direct(video: HTMLVideoElement): void {
    if (video.muted || !('setSinkId' in video) || video.sinkId === speaker()) return;
    video.setSinkId(speaker()).catch(() => {
      // Chromium can direct only what has sound already: `playing` comes again when it has. Or the speaker
      // was unplugged just now: sound stays where it was, and the next list of devices tells.
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
      // The picture at least may play.
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

  // Any gesture will do. These are the events that browsers count as one (HTML, "user activation").
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

/** The sound of the room around this component. */
export function useSound(): Sound {
  const sound = inject(key);
  if (sound === undefined) throw new Error('useSound outside of a room');
  return sound;
}
