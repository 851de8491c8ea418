import { computed, ref, type ComputedRef, type Ref } from 'vue';
import type { MeetingView, RecordingControls, RecordingPlace, Scene, SceneTile } from '../../core/types';
import { PICTURE } from '../../core/recording/types';
import { useText } from '../../i18n';
import { hue, initials } from '../common/person';
import { placeTiles } from '../room/stage';
import type { Stage, Tile } from './useStage';

/** Space between tiles, in pixels of the picture. */
const GAP = 8;

/** Recording in a room. */
export interface RecordingDesk {
  readonly on: ComputedRef<boolean>;
  /** The confirmation dialog is open. */
  readonly asking: Ref<boolean>;
  /** Opens the confirmation dialog, or stops recording. */
  readonly toggle: () => void;
  /** Starts recording after confirmation. Call it during a user gesture. */
  readonly start: (place: RecordingPlace) => void;
}

/** Records the stage as shown locally, but the user's own picture as the others see it, not mirrored. */
export function useRecording(
  controls: RecordingControls,
  view: () => MeetingView,
  stage: Stage,
  self: () => { readonly id: string; readonly name: string },
): RecordingDesk {
  const text = useText();
  const asking = ref(false);
  const on = computed(() => view().recording?.state === 'on');

  function tileOf(tile: Exclude<Tile, { kind: 'invite' }>): Omit<SceneTile, 'place'> {
    const { mic, camera, preview, speaking, quality } = view();
    const { key } = tile;
    const person = tile.kind === 'self' || !tile.person ? self() : tile.person;
    const { id, name } = person;
    const about = { key, name, initials: initials(name), hue: Number.parseInt(hue(id), 10) };
    if (tile.kind === 'self')
      return {
        ...about,
        picture: camera.on ? preview : undefined,
        whole: false,
        muted: !mic.on,
        speaking: false,
      };
    if (tile.kind === 'person') {
      const { stream, camera: on, mic: heard, speaking: speaks } = tile.person;
      const shown = on && quality !== 'audio';
      return { ...about, picture: shown ? stream : undefined, whole: false, muted: !heard, speaking: speaks };
    }
    const title = text('screen.of', { name });
    return { ...about, name: title, picture: tile.stream, whole: true, muted: false, speaking };
  }

  function scene(): Scene {
    const tiles = stage.tiles.value.filter((tile) => tile.kind !== 'invite');
    const large = tiles.findIndex(({ key }) => key === stage.large.value);
    const places = placeTiles(PICTURE.width, PICTURE.height, tiles.length, GAP, large);
    return {
      tiles: tiles.flatMap((tile, index) => {
        const place = places[index];
        return place ? [{ ...tileOf(tile), place }] : [];
      }),
      sounds: view().people.flatMap(({ stream, screen }) => [
        ...stream.getAudioTracks(),
        ...(screen?.getAudioTracks() ?? []),
      ]),
    };
  }

  return {
    on,
    asking,
    toggle: () => {
      controls.dismiss();
      if (on.value) controls.stop();
      else if (view().recording === undefined) asking.value = true;
    },
    start: (place) => {
      asking.value = false;
      void controls.start(scene, place);
    },
  };
}
