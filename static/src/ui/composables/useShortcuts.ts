import { onBeforeUnmount, onMounted } from 'vue';

/** What one types in, or chooses in by letters. */
const TYPED =
  'input:not([type=checkbox], [type=radio], [type=button], [type=range]), textarea, select, [contenteditable]';

/** Runs an action when its key is pressed alone, outside of text fields and of modal dialogs. Keys are given in lower case. */
export function useShortcuts(actions: Readonly<Record<string, () => void>>): void {
  function press(event: KeyboardEvent): void {
    if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target instanceof Element && event.target.matches(TYPED)) return;
    if (document.querySelector('dialog:modal')) return;
    const action = actions[event.key.toLowerCase()];
    if (!action) return;
    // Or the letter would be typed into a field that the action puts the focus in.
    event.preventDefault();
    action();
  }
  onMounted(() => {
    document.addEventListener('keydown', press);
  });
  onBeforeUnmount(() => {
    document.removeEventListener('keydown', press);
  });
}
