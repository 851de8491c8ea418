/** Splits into what people see as characters. Firefox has no `Segmenter` before version 125: there it is code points. */
const segmenter = 'Segmenter' in Intl ? new Intl.Segmenter() : undefined;

function firstCharacter(word: string): string {
  return (segmenter ? segmenter.segment(word).containing(0)?.segment : [...word][0]) ?? '';
}

/** One or two letters that stand for a name: first letters of Latin words, else the first character. */
export function initials(name: string): string {
  // What stands in parentheses begins no word, such as what tells people of one name apart.
  const words = name.trim().split(/\s+(?!\()/);
  const letters = words.map(firstCharacter);
  const first = letters[0] ?? '';
  const last = letters.length > 1 ? (letters.at(-1) ?? '') : '';
  return (/^\p{Script=Latin}$/u.test(first) ? first + last : first).toUpperCase();
}

/** A hue in CSS that is the same wherever this id is shown. */
export function hue(id: string): string {
  let hash = 0;
  for (const character of id) hash = (hash * 31 + (character.codePointAt(0) ?? 0)) % 65_521;
  // Steps of 30 degrees keep two people either alike or clearly apart.
  return `${(hash % 12) * 30}deg`;
}
