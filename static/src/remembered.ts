/** Values that this browser keeps between visits. */
type Item =
  'language' | 'name' | 'mic' | 'camera' | 'speaker' | 'relay' | 'shortcuts' | 'quality' | 'theme' | 'noise';

/** Returns a remembered value, if there is one. */
export function remembered(item: Item): string | undefined {
  try {
    return localStorage.getItem(`roundtable.${item}`) ?? undefined;
  } catch {
    // Storage is unavailable to some embedded and private pages; nothing is remembered there.
    return undefined;
  }
}

/** Stores a value for the next visit, if the browser allows it. */
export function remember(item: Item, value: string): void {
  try {
    localStorage.setItem(`roundtable.${item}`, value);
  } catch {
    // As above.
  }
}
