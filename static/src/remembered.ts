/** What this browser keeps between visits. */
type Item =
  'language' | 'name' | 'mic' | 'camera' | 'speaker' | 'relay' | 'shortcuts' | 'quality' | 'theme' | 'noise';

/** What was remembered, if anything. */
export function remembered(item: Item): string | undefined {
  try {
    return localStorage.getItem(`roundtable.${item}`) ?? undefined;
  } catch {
    // Storage is closed to some embedded and private pages; they simply forget.
    return undefined;
  }
}

/** Keeps a value for the next visit, where the browser allows it. */
export function remember(item: Item, value: string): void {
  try {
    localStorage.setItem(`roundtable.${item}`, value);
  } catch {
    // As above.
  }
}
