import { h, ref, type Component } from 'vue';
import { part, prefetch } from '../common/part';
import PartNote from './PartNote.vue';

const loaders = new Set<() => Promise<unknown>>();

/**
 * Creates a part of the room that is loaded when first shown. While its code cannot be loaded, shows a note and keeps
 * trying.
 */
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

/** Loads all parts, one after another, so that they are available when the network or the server is not. */
export async function prefetchParts(): Promise<void> {
  prefetch.isRunning = true;
  for (const load of loaders) {
    try {
      await load();
    } catch {
      // Loading is retried when the part is shown; only then the user is informed.
    }
  }
  prefetch.isRunning = false;
}
