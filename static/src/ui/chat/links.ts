/** A part of a text; a link if it has an `href`. */
export interface TextPart {
  readonly text: string;
  readonly href?: string;
}

/**
 * An address: extends to white space, control characters, quotation marks and CJK punctuation, after which a sentence
 * continues without a space.
 */
const ADDRESS =
  /https?:\/\/[^\s\p{C}<>"“”«»\u3000-\u303f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65]+/giu;

/** A host of ASCII letters followed by Chinese, Japanese or Korean text, which is not part of it. */
const BEFORE_TEXT = /^https?:\/\/[\w\-.:[\]]+(?=[\p{scx=Han}\p{scx=Hira}\p{scx=Kana}\p{sc=Hangul}])/iu;

/** Punctuation that ends a sentence rather than an address; brackets are counted separately. */
const TRAILING = /[.,:;!?'*]|(?!\p{ASCII})\p{P}/u;

/**
 * Maximum number of links in one text; further addresses stay text. A text of 4 KiB has room for 409, and a log for
 * 500 such texts.
 */
export const MAX_LINKS = 50;

/**
 * Splits a text at its web addresses. An address becomes a link as a whole or not at all. Addresses that obscure
 * their target are not links: those with a user name, or with lookalike or percent-encoded letters in the host.
 */
export function textParts(text: string): TextPart[] {
  const parts: TextPart[] = [];
  let end = 0;
  let links = 0;
  for (const match of text.matchAll(ADDRESS)) {
    const address = trimmed(BEFORE_TEXT.exec(match[0])?.[0] ?? match[0]);
    const href = safeHref(address);
    if (href === undefined) continue;
    if (match.index > end) parts.push({ text: text.slice(end, match.index) });
    parts.push({ text: address, href });
    end = match.index + address.length;
    links += 1;
    if (links === MAX_LINKS) break;
  }
  if (end < text.length) parts.push({ text: text.slice(end) });
  return parts;
}

/**
 * Removes trailing punctuation of the sentence, and closing brackets that were opened before the address. Runs in
 * linear time, because the text is another person's.
 */
function trimmed(address: string): string {
  const count = (bracket: string): number => address.split(bracket).length;
  /** Number of surplus closing brackets. */
  const surplus = new Map([
    [')', count(')') - count('(')],
    [']', count(']') - count('[')],
  ]);
  let end = address.length;
  for (; end > 0; end -= 1) {
    const last = address.charAt(end - 1);
    const unopened = surplus.get(last);
    if (unopened === undefined ? !TRAILING.test(last) : unopened <= 0) break;
    if (unopened !== undefined) surplus.set(last, unopened - 1);
  }
  return address.slice(0, end);
}

function safeHref(address: string): string | undefined {
  // `URL` decodes the host: the written host is the real one only if there is nothing to decode.
  if (!/^https?:\/\/[\w\-.:[\]]+([/?#]|$)/i.test(address)) return undefined;
  try {
    return new URL(address).href;
  } catch {
    return undefined;
  }
}
