import { computed, ref, watch, type ComputedRef } from 'vue';
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
}

/** Decides for each of a room's views what is shown, and what of it large. */
export function useStage(view: () => MeetingView): Stage {
  const tiles = computed(() => tilesOf(view()));
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
  return { tiles, large: computed(() => screens.value.at(-1)) };
}

function tilesOf({ people, screen }: MeetingView): Tile[] {
  const own: Tile[] = [{ key: 'self', kind: 'self' }];
  if (screen.stream)
    own.push({ key: 'self:screen', kind: 'screen', person: undefined, stream: screen.stream });
  if (people.length === 0) own.push({ key: 'invite', kind: 'invite' });
  return own.concat(
    people.flatMap((person): Tile[] => [
      { key: person.id, kind: 'person', person },
      ...(person.screen
        ? [{ key: `${person.id}:screen`, kind: 'screen', person, stream: person.screen } as const]
        : []),
    ]),
  );
}
