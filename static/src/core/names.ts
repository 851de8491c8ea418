/** Names that people can see and tell apart: the rules of `src/protocol/names.rs` (R6, R96). */

/** The longest name of a person, in characters (R6). */
const NAME_CHARS = 64;
/** Nothing is drawn for these: ignorable characters (UAX #44), and five that fonts leave blank. */
const BLANK = '\\p{DI}\\u2800\\ufff9-\\ufffc\\u{1d159}';
/** All of them but joiners, variation selectors and tags, which emoji and some scripts need. */
const INVISIBLE = new RegExp(`(?![\\u200c-\\u200d\\u{e0020}-\\u{e007f}\\p{VS}])[${BLANK}]`, 'gu');
const VISIBLE = new RegExp(`[^\\p{White_Space}${BLANK}]`, 'u');
/** Characters by which two names may differ without looking different. */
const UNSEEN = new RegExp(`[\\p{White_Space}${BLANK}]`, 'gu');
/** A name that ends like the start of an ID, as `distinguish` adds it. */
const LIKE_ID = /\([\w-]{4}\)$/;
/** More combining marks in a row than any name needs (UTS #39 §5.4). */
const STACKED = /[\p{Mn}\p{Me}]{5}/u;
/** As many marks as a name has at most, joiners between them aside, and those that follow. */
const STACK = /((?:[\p{Mn}\p{Me}]\p{Cf}*){4})(?:[\p{Mn}\p{Me}]\p{Cf}*)+/gu;

/** Removes what programs put into links and names, and nobody sees. */
export function withoutInvisible(name: string): string {
  return name.replace(INVISIBLE, '');
}

/** Removes combining marks beyond four in a row, which would be drawn over the lines above and below. */
export function withoutStacks(text: string): string {
  return text.replace(STACK, '$1');
}

/** Returns whether people can see a name as it is (R96). */
export function isVisible(name: string): boolean {
  return VISIBLE.test(name) && !STACKED.test(name) && withoutInvisible(name) === name;
}

/** Returns whether a server accepts this name of a person, white space around it aside (R6). */
export function isPersonName(name: string): boolean {
  const trimmed = name.replace(/^\p{White_Space}+|\p{White_Space}+$/gu, '');
  return (
    [...trimmed].length <= NAME_CHARS && !/[\p{Cc}\p{Cs}\u2028\u2029]/u.test(trimmed) && isVisible(trimmed)
  );
}

/**
 * Adds the start of the id, which is random, to each name that looks like another one, or as if it had an id already.
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

/** Returns the same for names that people cannot tell apart. */
export function lookOf(name: string): string {
  // An unseen character between a letter and its mark keeps them from being composed.
  return name.normalize('NFKC').replace(UNSEEN, '').normalize('NFKC').toLowerCase();
}
