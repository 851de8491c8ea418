import { onBeforeUnmount, onMounted } from 'vue';

/** Runs an action when its key is pressed alone, outside of text fields. Keys are given in lower case. */
export function useShortcuts(actions: Readonly<Record<string, () => void>>): void {
  function press(event: KeyboardEvent): void {
    if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target instanceof Element && event.target.matches('input, textarea, select, [contenteditable]'))
      return;
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
