/**
 * Keeps the objects of the view as long as their values stay the same. A component whose props are identical objects
 * is not rendered again, so others cannot make the page render everything by changing something small.
 */

/** Returns `before` if `now` has the same values, else `now`. */
export function stable<T extends object>(before: T | undefined, now: T): T {
  if (before === undefined) return now;
  const keys = Object.keys(now) as (keyof T)[];
  const isSame = keys.every((key) => key in before && before[key] === now[key]);
  return isSame && Object.keys(before).length === keys.length ? before : now;
}

/** Returns a list that reuses unchanged items of `before`; `before` itself if none has changed. */
export function stableList<T extends object>(before: readonly T[], now: readonly T[]): readonly T[] {
  return stable(
    before,
    now.map((item, at) => stable(before[at], item)),
  );
}
