/** What a key event tells, of a `KeyboardEvent`. */
export type Key = Pick<KeyboardEvent, 'key' | 'code' | 'shiftKey'>;

/**
 * Whether an input method handles the key. WebKit sends the Enter that ends a composition after `compositionend`, and only
 * its key code 229 tells it from others.
 */
export function isComposing(event: Pick<KeyboardEvent, 'isComposing' | 'keyCode'>): boolean {
  // eslint-disable-next-line @typescript-eslint/no-deprecated -- nothing else tells
  return event.isComposing || event.keyCode === 229;
}

/**
 * Returns the characters a shortcut may be bound to: the one that was typed, and the one that the key has on a US keyboard
 * where the layout has no Latin letters (Cyrillic, Greek, Hebrew, Arabic) or wants Shift for digits (French, Czech).
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

/** Elements that take characters, or let one choose by them. */
const TYPED =
  'input:not([type=checkbox], [type=radio], [type=button], [type=range]), textarea, select, [role=textbox], ' +
  '[role=searchbox], [role=combobox], [role=listbox]';

/** Whether characters go to where the focus is, also in shadow trees. */
export function isTyping(event: Event): boolean {
  const [target] = event.composedPath();
  if (!(target instanceof HTMLElement)) return false;
  // What a closed shadow tree contains is unknown: its host is a custom element, whose name has a hyphen.
  return target.isContentEditable || target.matches(TYPED) || target.localName.includes('-');
}

/** Elements that a press of Space activates or scrolls. */
const TAKES_SPACE =
  'a, input, summary, video, audio, [tabindex="0"], dialog *, [popover] *, [role=button]:not(button)';

/**
 * Whether Space belongs to the element in focus.
 *
 * @param byPointer the focus was moved by a pointer: its button was clicked, and is not waiting for a key
 */
export function takesSpace(event: Event, byPointer: boolean): boolean {
  const [target] = event.composedPath();
  if (!(target instanceof HTMLElement)) return false;
  return target.matches(TAKES_SPACE) || (!byPointer && target.matches('button'));
}
