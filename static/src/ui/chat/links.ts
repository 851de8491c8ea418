/** A piece of a text: what is to be read, or also to be followed. */
export interface TextPart {
  readonly text: string;
  readonly href?: string;
}

// Only ASCII: in Chinese a sentence goes on right behind an address, and look-alike letters stay text.
const ADDRESS = /https:\/\/[\w\-.~:/?#[\]@!$&'()*+,;=%]+/gi;

/** Finds the addresses in a text. Only https, and none that hides where it leads behind a user's name. */
export function textParts(text: string): TextPart[] {
  const parts: TextPart[] = [];
  let end = 0;
  for (const match of text.matchAll(ADDRESS)) {
    const address = trimmed(match[0]);
    const href = safeHref(address);
    if (href === undefined) continue;
    if (match.index > end) parts.push({ text: text.slice(end, match.index) });
    parts.push({ text: address, href });
    end = match.index + address.length;
  }
  if (end < text.length) parts.push({ text: text.slice(end) });
  return parts;
}

/** Without the sentence's own signs at its end, and without a bracket that was opened before it. */
function trimmed(address: string): string {
  let end = address;
  for (;;) {
    const open = end.split('(').length - end.split(')').length;
    if (/[.,:;!?'\]*]$/.test(end) || (end.endsWith(')') && open < 0)) end = end.slice(0, -1);
    else return end;
  }
}

function safeHref(address: string): string | undefined {
  if (!URL.canParse(address)) return undefined;
  const url = new URL(address);
  return url.protocol === 'https:' && url.username === '' && url.password === '' ? url.href : undefined;
}
