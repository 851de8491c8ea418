/** Splits text into grapheme clusters. Firefox before version 125 has no `Segmenter`: there code points are used. */
const segmenter = 'Segmenter' in Intl ? new Intl.Segmenter() : undefined;

function firstCharacter(word: string): string {
  return (segmenter ? segmenter.segment(word).containing(0)?.segment : [...word][0]) ?? '';
}

/** Returns one or two letters for a name: the initials of Latin words, else the first character. */
export function initials(name: string): string {
  // Text in parentheses does not count as a word, such as the id suffix of equal names.
  const words = name.trim().split(/\s+(?!\()/);
  const letters = words.map(firstCharacter);
  const first = letters[0] ?? '';
  const last = letters.length > 1 ? (letters.at(-1) ?? '') : '';
  return (/^\p{Script=Latin}$/u.test(first) ? first + last : first).toUpperCase();
}

/** Returns a CSS hue that is the same wherever this id is shown. */
export function hue(id: string): string {
  let hash = 0;
  for (const character of id) hash = (hash * 31 + (character.codePointAt(0) ?? 0)) % 65_521;
  // Steps of 30 degrees make two hues either equal or clearly different.
  return `${(hash % 12) * 30}deg`;
}
