/** One line of captions. */
export interface Caption {
  readonly id: number;
  /** The speaker, if known. */
  readonly name: string | undefined;
  readonly text: string;
  /** Set while the utterance may continue. */
  readonly isOpen: boolean;
}

/** Number of lines shown. */
const LINES = 3;

/** Returns the captions after a recognition result. */
export function nextCaptions(
  captions: readonly Caption[],
  text: string,
  isFinal: boolean,
  speaker: string | undefined,
): readonly Caption[] {
  const last = captions.at(-1);
  const continued = last?.isOpen ? last : undefined;
  const before = continued ? captions.slice(0, -1) : captions;
  // Some browsers end an utterance without any recognized text.
  if (text === '') return isFinal ? before : captions;
  const id = continued?.id ?? (last?.id ?? 0) + 1;
  // The speaker who had the floor when the utterance began; this may change before the text is complete.
  const name = continued ? continued.name : speaker;
  return [...before, { id, name, text, isOpen: !isFinal }].slice(-LINES);
}
