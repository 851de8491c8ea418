/** The part of a `KeyboardEvent` that identifies the key. */
export type Key = Pick<KeyboardEvent, 'key' | 'code' | 'shiftKey'>;

/**
 * Returns whether an input method handles the key. WebKit sends the Enter that ends a composition after
 * `compositionend`; only its key code 229 identifies it.
 */
export function isComposing(event: Pick<KeyboardEvent, 'isComposing' | 'keyCode'>): boolean {
  // eslint-disable-next-line @typescript-eslint/no-deprecated -- nothing else tells
  return event.isComposing || event.keyCode === 229;
}

/**
 * Returns the characters a shortcut may be bound to: the one that was typed, and the one on a US keyboard if the
 * layout has no Latin letters (Cyrillic, Greek, Hebrew, Arabic) or needs Shift for digits (French, Czech).
 */
export function charactersOf({ key, code, shiftKey }: Key): readonly string[] {
  const typed = key.toLowerCase();
  const [, letter, digit] = /^Key([A-Z])$|^Digit(\d)$/.exec(code) ?? [];
  const isForeign = /^[^\p{ASCII}\p{Script=Latin}]+$/u.test(typed);
  if (letter !== undefined && isForeign) return [typed, letter.toLowerCase()];
  if (digit !== undefined && !shiftKey && /^[^a-z]$/u.test(typed)) return [typed, digit];
  if (code === 'Slash' && shiftKey && isForeign) return [typed, '?'];
  return [typed];
}

/** Elements that accept typed characters, for text or for selection. */
const TYPED =
  'input:not([type=checkbox], [type=radio], [type=button], [type=range]), textarea, select, [role=textbox], ' +
  '[role=searchbox], [role=combobox], [role=listbox]';

/** Returns whether the focused element accepts typed characters, including in shadow trees. */
export function isTyping(event: Event): boolean {
  const [target] = event.composedPath();
  if (!(target instanceof HTMLElement)) return false;
  // The content of a closed shadow tree is unknown: its host is a custom element, whose name has a hyphen.
  return target.isContentEditable || target.matches(TYPED) || target.localName.includes('-');
}

/** Elements that Space activates or scrolls. */
const TAKES_SPACE =
  'a, input, summary, video, audio, [tabindex="0"], dialog *, [popover] *, [role=button]:not(button)';

/**
 * Returns whether the focused element handles Space.
 *
 * @param byPointer the focus was moved by a pointer: the button was clicked, and does not wait for a key
 */
export function takesSpace(event: Event, byPointer: boolean): boolean {
  const [target] = event.composedPath();
  if (!(target instanceof HTMLElement)) return false;
  return target.matches(TAKES_SPACE) || (!byPointer && target.matches('button'));
}
