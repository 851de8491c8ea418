/** One line of captions. */
export interface Caption {
  readonly id: number;
  /** Who spoke, as far as that is known. */
  readonly name: string | undefined;
  readonly text: string;
  /** The speaker may go on. */
  readonly isOpen: boolean;
}

/** Lines that are shown. */
const LINES = 3;

/** The captions after something was understood. */
export function nextCaptions(
  captions: readonly Caption[],
  text: string,
  isFinal: boolean,
  speaker: string | undefined,
): readonly Caption[] {
  const last = captions.at(-1);
  const continued = last?.isOpen ? last : undefined;
  const before = continued ? captions.slice(0, -1) : captions;
  // Some browsers end an utterance in which they understood nothing.
  if (text === '') return isFinal ? before : captions;
  const id = continued?.id ?? (last?.id ?? 0) + 1;
  // Whoever had the floor when it began: it may change before the text is complete.
  const name = continued ? continued.name : speaker;
  return [...before, { id, name, text, isOpen: !isFinal }].slice(-LINES);
}
