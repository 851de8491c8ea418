import { computed, ref, watch } from 'vue';
import { useText } from '../../i18n';
import { remember, remembered } from '../../remembered';

/** Single-key shortcuts are on; the user's choice is remembered. */
export const keysEnabled = ref(remembered('shortcuts') !== 'off');
watch(keysEnabled, (on) => {
  remember('shortcuts', on ? 'on' : 'off');
});

/** Set if the user is likely to have a keyboard. */
const hasKeyboard = !matchMedia('(hover: none) and (pointer: coarse)').matches;

/** Shortcuts of buttons, if there is a keyboard and shortcuts are on. */
export function useKeyHints() {
  const text = useText();
  const areShown = computed(() => hasKeyboard && keysEnabled.value);
  const keyOf = (key: string | undefined): string | undefined => (areShown.value ? key : undefined);
  return {
    hasKeyboard,
    /** Returns the key for `aria-keyshortcuts`. */
    keyOf,
    /** Returns a button's title with its key. */
    titled: (title: string, key: string): string =>
      areShown.value ? text('shortcuts.titled', { title, key }) : title,
  };
}
