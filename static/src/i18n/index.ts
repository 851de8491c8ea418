import { registerMessageResolver, resolveValue } from '@intlify/core-base';
import { createI18n, useI18n } from 'petite-vue-i18n';
import { remember, remembered } from '../remembered';
import type { Messages } from './en';

/** A language of the page. */
export type Locale = 'en' | 'zh-CN';

type Paths<T> = {
  [K in keyof T & string]: T[K] extends string ? K : `${K}.${Paths<T[K]>}`;
}[keyof T & string];

/** The path of a text; a wrong one fails the build. */
export type MessageKey = Paths<Messages>;

function preferred(): Locale {
  const chosen = remembered('language');
  if (chosen === 'en' || chosen === 'zh-CN') return chosen;
  const known = navigator.languages.find((tag) => /^(zh|en)\b/i.test(tag));
  return known?.toLowerCase().startsWith('zh') ? 'zh-CN' : 'en';
}

// The small vue-i18n knows flat keys only; ours are paths.
registerMessageResolver(resolveValue);

/** The texts, in the person's language. Each language is loaded when it is wanted. */
export const i18n = createI18n<[Messages], Locale, false>({
  locale: preferred(),
  messages: {} as Record<Locale, Messages>,
});

async function load(locale: Locale): Promise<void> {
  const messages = locale === 'en' ? (await import('./en')).en : (await import('./zh-CN')).zhCN;
  i18n.global.setLocaleMessage(locale, messages);
  i18n.global.locale.value = locale;
  document.documentElement.lang = locale;
}

/** Loads the person's language; there are no texts before. */
export function loadTexts(): Promise<void> {
  return load(i18n.global.locale.value);
}

/** Changes the language, and remembers it. */
export async function setLocale(locale: Locale): Promise<void> {
  remember('language', locale);
  await load(locale);
}

/** The texts for a component. A number chooses between singular and plural. */
export function useText() {
  const { t } = useI18n();
  return (key: MessageKey, values: Record<string, string> | number = {}): string =>
    typeof values === 'number' ? t(key, values) : t(key, values);
}
