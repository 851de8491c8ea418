/** A piece of a text: what is to be read, or also to be followed. */
export interface TextPart {
  readonly text: string;
  readonly href?: string;
}

/**
 * An address, up to white space, control characters, quotation marks and the punctuation of Chinese and Japanese, after
 * which a sentence goes on without a space.
 */
const ADDRESS =
  /https?:\/\/[^\s\p{C}<>"“”«»\u3000-\u303f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65]+/giu;

/** A host of ASCII letters that Chinese, Japanese or Korean text follows: the text is not part of it. */
const BEFORE_TEXT = /^https?:\/\/[\w\-.:[\]]+(?=[\p{scx=Han}\p{scx=Hira}\p{scx=Kana}\p{sc=Hangul}])/iu;

const CLOSING: Readonly<Record<string, string>> = { ')': '(', ']': '[' };

/**
 * Finds the web addresses in a text. An address is a link as a whole or not at all. Those that hide where they lead, by a
 * user's name or by letters that look like ASCII ones in the host, are not links.
 */
export function textParts(text: string): TextPart[] {
  const parts: TextPart[] = [];
  let end = 0;
  for (const match of text.matchAll(ADDRESS)) {
    const address = trimmed(BEFORE_TEXT.exec(match[0])?.[0] ?? match[0]);
    const href = safeHref(address);
    if (href === undefined) continue;
    if (match.index > end) parts.push({ text: text.slice(end, match.index) });
    parts.push({ text: address, href });
    end = match.index + address.length;
  }
  if (end < text.length) parts.push({ text: text.slice(end) });
  return parts;
}

/** Removes the punctuation of the sentence from the end, and brackets that were opened before the address. */
function trimmed(address: string): string {
  let end = address;
  for (;;) {
    const last = end.at(-1) ?? '';
    const opening = CLOSING[last];
    const closes = opening !== undefined && end.split(opening).length >= end.split(last).length;
    if (closes || !/[.,:;!?'*)\]]|(?!\p{ASCII})\p{P}/u.test(last)) return end;
    end = end.slice(0, -1);
  }
}

function safeHref(address: string): string | undefined {
  // A `URL` shows the host in Punycode: the host as it was written tells whether it is plain ASCII.
  const [, host = ''] = /^https?:\/\/([^/?#]*)/i.exec(address) ?? [];
  if (!/^\p{ASCII}+$/u.test(host)) return undefined;
  try {
    const url = new URL(address);
    return url.username === '' && url.password === '' ? url.href : undefined;
  } catch {
    return undefined;
  }
}
