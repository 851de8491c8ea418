import { ref, watchEffect } from 'vue';
import { remember, remembered } from './remembered';

/** Themes of the page; `system` follows the system's setting. */
export const THEMES = ['system', 'light', 'dark'] as const;

/** The theme that the user chose, now or at an earlier visit. */
export const theme = ref(THEMES.find((each) => each === remembered('theme')) ?? 'system');

watchEffect(() => {
  const chosen = theme.value;
  document.documentElement.style.colorScheme = chosen === 'system' ? '' : chosen;
  // Colours of the browser's own frame: one for each scheme, in the order of `THEMES`.
  document.querySelectorAll<HTMLMetaElement>('meta[name=theme-color]').forEach((meta, index) => {
    const own = THEMES[index + 1];
    if (chosen === 'system') meta.media = `(prefers-color-scheme: ${own ?? ''})`;
    else meta.media = own === chosen ? 'all' : 'not all';
  });
});

/** Selects and remembers a theme. */
export function setTheme(chosen: (typeof THEMES)[number]): void {
  theme.value = chosen;
  remember('theme', chosen);
}
