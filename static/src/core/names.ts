/** Rules for visible and distinguishable names, as in `src/protocol/names.rs` (R6, R96). */

/** Maximum length of a person's name, in characters (R6). */
const NAME_CHARS = 64;
/** Characters that draw nothing: default ignorables (UAX #44), and five that fonts leave blank. */
const BLANK = '\\p{DI}\\u2800\\ufff9-\\ufffc\\u{1d159}';
/** All blank characters except joiners, variation selectors and tags, which emoji and some scripts need. */
const INVISIBLE = new RegExp(`(?![\\u200c-\\u200d\\u{e0020}-\\u{e007f}\\p{VS}])[${BLANK}]`, 'gu');
const VISIBLE = new RegExp(`[^\\p{White_Space}${BLANK}]`, 'u');
/** Characters in which two names may differ without looking different. */
const UNSEEN = new RegExp(`[\\p{White_Space}${BLANK}]`, 'gu');
/** A name that ends like the id suffix added by `distinguish`. */
const LIKE_ID = /\([\w-]{4}\)$/;
/** More consecutive combining marks than any name needs (UTS #39 §5.4). */
const STACKED = /[\p{Mn}\p{Me}]{5}/u;
/**
 * The four combining marks that a name may have in a row, ignoring format characters between them, followed by excess
 * ones.
 */
const STACK = /((?:[\p{Mn}\p{Me}]\p{Cf}*){4})(?:[\p{Mn}\p{Me}]\p{Cf}*)+/gu;

/** Removes invisible characters, which programs insert into links and names. */
export function withoutInvisible(name: string): string {
  return name.replace(INVISIBLE, '');
}

/** Removes combining marks beyond four in a row, which would be drawn over the lines above and below. */
export function withoutStacks(text: string): string {
  return text.replace(STACK, '$1');
}

/** Returns whether all of a name is visible (R96). */
export function isVisible(name: string): boolean {
  return VISIBLE.test(name) && !STACKED.test(name) && withoutInvisible(name) === name;
}

/** Returns whether a server accepts this name of a person, ignoring surrounding white space (R6). */
export function isPersonName(name: string): boolean {
  const trimmed = name.replace(/^\p{White_Space}+|\p{White_Space}+$/gu, '');
  return (
    [...trimmed].length <= NAME_CHARS && !/[\p{Cc}\p{Cs}\u2028\u2029]/u.test(trimmed) && isVisible(trimmed)
  );
}

/**
 * Appends the start of the random id to each name that looks like another one, or that already ends like such an id.
 *
 * @param others names of people who are not among `people`
 */
export function distinguish<Named extends { readonly id: string; readonly name: string }>(
  people: readonly Named[],
  others: readonly string[],
): readonly Named[] {
  const looks = [...people.map(({ name }) => name), ...others].map(lookOf);
  return people.map((person, at) => {
    const look = looks[at] ?? '';
    const isUnique = looks.indexOf(look) === looks.lastIndexOf(look);
    return isUnique && !LIKE_ID.test(look)
      ? person
      : { ...person, name: `${person.name} (${person.id.slice(0, 4)})` };
  });
}

/** Returns the same string for names that look alike. */
export function lookOf(name: string): string {
  // An invisible character between a letter and its mark prevents their composition, hence the second normalization.
  return name.normalize('NFKC').replace(UNSEEN, '').normalize('NFKC').toLowerCase();
}
