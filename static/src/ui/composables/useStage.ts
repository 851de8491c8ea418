import { computed, ref, watch, type ComputedRef, type Ref } from 'vue';
import type { MeetingView, Person } from '../../core/types';

/** What a tile shows. The `key` stays the same for as long as it is shown. */
export type Tile =
  | { readonly key: 'self'; readonly kind: 'self' }
  | { readonly key: string; readonly kind: 'person'; readonly person: Person }
  | {
      readonly key: string;
      readonly kind: 'screen';
      /** Nobody: one's own. */
      readonly person: Person | undefined;
      readonly stream: MediaStream;
    }
  | { readonly key: 'invite'; readonly kind: 'invite' };

/** What is on the stage, and how. */
export interface Stage {
  readonly tiles: ComputedRef<readonly Tile[]>;
  /** The key of the tile that is shown large. */
  readonly large: ComputedRef<string | undefined>;
  /** The key of the local tile, while it is shown as an inset over the only other tile. */
  readonly inset: ComputedRef<string | undefined>;
  /** Whether a pin changes anything: not if there is only one tile to see. */
  readonly canPin: ComputedRef<boolean>;
  /** All alike, or whoever has the floor large. A screen is large in both. */
  readonly layout: Ref<'grid' | 'speaker'>;
  /** The key of the tile that this person wants to see large, whatever happens. */
  readonly pinned: Ref<string | undefined>;
  /** One's own picture takes no place; where nobody else has one, it stays. */
  readonly selfHidden: Ref<boolean>;
  /** Pins a tile, or lets it go where it is pinned already. */
  readonly pin: (key: string | undefined) => void;
}

/** Decides for each of a room's views what is shown, and what of it large. */
export function useStage(view: () => MeetingView): Stage {
  const layout = ref<'grid' | 'speaker'>('grid');
  const pinned = ref<string>();
  const selfHidden = ref(false);
  const tiles = computed(() => {
    const all = tilesOf(view());
    const others = all.some(({ kind }) => kind === 'person');
    return selfHidden.value && others ? all.filter(({ kind }) => kind !== 'self') : all;
  });
  /** The keys of the others' screens, the latest last. */
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

/** Listeners are in the list, not on the stage: there may be many, and there is nothing to see. */
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
