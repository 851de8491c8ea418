import { computed, ref, watch, type ComputedRef, type Ref } from 'vue';
import type { MeetingView, Person } from '../../core/types';

/** Content of a tile. The `key` stays the same as long as it is shown. */
export type Tile =
  | { readonly key: 'self'; readonly kind: 'self' }
  | { readonly key: string; readonly kind: 'person'; readonly person: Person }
  | {
      readonly key: string;
      readonly kind: 'screen';
      /** `undefined` for the user's own screen. */
      readonly person: Person | undefined;
      readonly stream: MediaStream;
    }
  | { readonly key: 'invite'; readonly kind: 'invite' };

/** Tiles on the stage and their layout. */
export interface Stage {
  readonly tiles: ComputedRef<readonly Tile[]>;
  /** Key of the tile shown large. */
  readonly large: ComputedRef<string | undefined>;
  /** Key of the local tile, while it is shown as an inset over the only other tile. */
  readonly inset: ComputedRef<string | undefined>;
  /** Set if pinning has an effect: more than one tile is visible. */
  readonly canPin: ComputedRef<boolean>;
  /** `grid`: all tiles equal. `speaker`: the person who has the floor is large. A screen is large in both. */
  readonly layout: Ref<'grid' | 'speaker'>;
  /** Key of the tile that the user wants large in any case. */
  readonly pinned: Ref<string | undefined>;
  /** The user's own tile is hidden; ignored while nobody else has a tile. */
  readonly selfHidden: Ref<boolean>;
  /** Pins a tile, or unpins it if it is pinned. */
  readonly pin: (key: string | undefined) => void;
}

/** Computes the tiles of each view, and which of them is large. */
export function useStage(view: () => MeetingView): Stage {
  const layout = ref<'grid' | 'speaker'>('grid');
  const pinned = ref<string>();
  const selfHidden = ref(false);
  const tiles = computed(() => {
    const all = tilesOf(view());
    const others = all.some(({ kind }) => kind === 'person');
    return selfHidden.value && others ? all.filter(({ kind }) => kind !== 'self') : all;
  });
  /** Keys of the others' screens, most recent last. */
  const screens = ref<string[]>([]);
  watch(
    tiles,
    (now) => {
      const keys = now.filter((tile) => tile.kind === 'screen' && tile.person).map(({ key }) => key);
      const kept = screens.value.filter((key) => keys.includes(key));
      screens.value = [...kept, ...keys.filter((key) => !kept.includes(key))];
    },
    { immediate: true },
  );
  const large = computed(() => {
    const { speaker } = view();
    const shown = (key: string | undefined): boolean => tiles.value.some((tile) => tile.key === key);
    if (shown(pinned.value)) return pinned.value;
    if (screens.value.length > 0) return screens.value.at(-1);
    if (layout.value === 'grid') return undefined;
    return shown(speaker) ? speaker : tiles.value.find(({ kind }) => kind === 'person')?.key;
  });
  const inset = computed(() => {
    const [own, other, ...more] = tiles.value;
    const isCallOfTwo = own?.kind === 'self' && other?.kind === 'person' && more.length === 0;
    const isPinned = pinned.value !== undefined && pinned.value === large.value;
    return isCallOfTwo && !isPinned ? own.key : undefined;
  });
  const canPin = computed(
    () => inset.value === undefined && tiles.value.filter(({ kind }) => kind !== 'invite').length > 1,
  );
  function pin(key: string | undefined): void {
    pinned.value = pinned.value === key ? undefined : key;
  }
  return { tiles, large, inset, canPin, layout, pinned, selfHidden, pin };
}

/**
 * Returns the tiles of a view. Listeners are only in the list of people: there may be many, and they have nothing to
 * show.
 */
function tilesOf({ people, role, screen }: MeetingView): Tile[] {
  const own: Tile[] = role === 'listener' ? [] : [{ key: 'self', kind: 'self' }];
  if (screen.stream)
    own.push({ key: 'self:screen', kind: 'screen', person: undefined, stream: screen.stream });
  if (people.length === 0) own.push({ key: 'invite', kind: 'invite' });
  return own.concat(
    people
      .filter((person) => person.role !== 'listener')
      .flatMap((person): Tile[] => [
        { key: person.id, kind: 'person', person },
        ...(person.screen
          ? [{ key: `${person.id}:screen`, kind: 'screen', person, stream: person.screen } as const]
          : []),
      ]),
  );
}
