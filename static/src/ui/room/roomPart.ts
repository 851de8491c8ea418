import { h, ref, type Component } from 'vue';
import { part, prefetch } from '../common/part';
import PartNote from './PartNote.vue';

const loaders = new Set<() => Promise<unknown>>();

/** A part of the room that is loaded when it is first shown. Says so while its code cannot be loaded, and keeps trying. */
export function roomPart<T extends Component>(load: () => Promise<{ default: T }>): T {
  loaders.add(load);
  const isLate = ref(false);
  return part(
    load,
    () => (isLate.value ? h(PartNote) : undefined),
    () => {
      isLate.value = true;
    },
  );
}

/** Loads all parts, one after another, so that they are there when the network or the server is not. */
export async function prefetchParts(): Promise<void> {
  prefetch.isRunning = true;
  for (const load of loaders) {
    try {
      await load();
    } catch {
      // It is loaded again when it is shown, and then the person is told.
    }
  }
  prefetch.isRunning = false;
}
