/** Applies an operator's `config.json` to the appearance of the page. */
import { accentFor } from './accent';
import { logo } from './logo';

/** Shows an image of the dist instead of the product's mark, and as the tab's icon. */
export function showLogo(path: string): void {
  const base = new URL(document.documentElement.dataset.base ?? './', location.href);
  logo.value = new URL(path, base).href;
  for (const link of document.querySelectorAll<HTMLLinkElement>('link[rel=icon]')) {
    link.removeAttribute('type');
    link.href = logo.value;
  }
}

/** Sets the colour of buttons, links and marks, in light and dark. */
export function useAccent(colour: string): void {
  const [light, dark] = [accentFor('light', colour), accentFor('dark', colour)];
  const { style } = document.documentElement;
  const set = (name: string, of: keyof typeof light): void => {
    style.setProperty(name, `light-dark(${light[of]}, ${dark[of]})`);
  };
  set('--accent', 'accent');
  set('--accent-hover', 'hover');
  set('--accent-soft', 'soft');
  set('--on-accent', 'on');
}
