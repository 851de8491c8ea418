import { onBeforeUnmount, onMounted } from 'vue';
import { charactersOf, isComposing, isTyping, takesSpace } from './keys';
import { keysEnabled } from './useKeyHints';

/** Keys that move the focus or act on it, and thus indicate keyboard use. */
const NAVIGATION = /^(Tab|Enter|Escape|Home|End|Arrow\w+)$/;

/**
 * Runs an action when its key is pressed alone, outside of text fields and modal dialogs, unless the user has turned
 * single-key shortcuts off (WCAG 2.1.4). Keys are given in lower case.
 */
export function useShortcuts(actions: Readonly<Record<string, () => void>>): void {
  function press(event: KeyboardEvent): void {
    if (event.repeat || !isForPage(event)) return;
    const character = charactersOf(event).find((one) => one in actions);
    if (character === undefined) return;
    // Otherwise the letter would be typed into a field that the action focuses.
    event.preventDefault();
    actions[character]?.();
  }
  onMounted(() => {
    document.addEventListener('keydown', press);
  });
  onBeforeUnmount(() => {
    document.removeEventListener('keydown', press);
  });
}

/** Unmutes the microphone while Space is held. */
export function usePushToTalk(mayTalk: () => boolean, talk: (on: boolean) => void): void {
  let isHeld = false;
  let byPointer = false;

  function press(event: KeyboardEvent): void {
    if (NAVIGATION.test(event.key)) byPointer = false;
    if (event.key !== ' ' || event.shiftKey) return;
    if (!isHeld) {
      if (event.repeat || !isForPage(event) || takesSpace(event, byPointer) || !mayTalk()) return;
      isHeld = true;
      talk(true);
    }
    // Prevent scrolling, and activation of the button clicked last.
    event.preventDefault();
  }
  function release(event: KeyboardEvent): void {
    if (event.key !== ' ' || !isHeld) return;
    // Firefox activates a button here.
    event.preventDefault();
    stop();
  }
  function stop(): void {
    if (!isHeld) return;
    isHeld = false;
    talk(false);
  }
  function point(): void {
    byPointer = true;
  }
  onMounted(() => {
    document.addEventListener('keydown', press);
    document.addEventListener('keyup', release);
    document.addEventListener('pointerdown', point);
    // The key's release goes to another window.
    window.addEventListener('blur', stop);
  });
  onBeforeUnmount(() => {
    stop();
    document.removeEventListener('keydown', press);
    document.removeEventListener('keyup', release);
    document.removeEventListener('pointerdown', point);
    window.removeEventListener('blur', stop);
  });
}

/** Returns whether a key press is for the page's shortcuts. */
function isForPage(event: KeyboardEvent): boolean {
  if (!keysEnabled.value || event.ctrlKey || event.metaKey || event.altKey) return false;
  return !isComposing(event) && !isTyping(event) && !document.querySelector('dialog:modal');
}
