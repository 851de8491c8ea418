import { watchEffect } from 'vue';
import { createI18n, useI18n } from 'vue-i18n';
import { remember, remembered } from '../remembered';
import { en, type Messages } from './en';
import { zhCN } from './zh-CN';

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

/** The texts, in the person's language; the document's `lang` follows. */
export const i18n = createI18n<[Messages], Locale, false>({
  locale: preferred(),
  fallbackLocale: 'en',
  messages: { en, 'zh-CN': zhCN },
});

watchEffect(() => {
  document.documentElement.lang = i18n.global.locale.value;
});

/** Changes the language, and remembers it. */
export function setLocale(locale: Locale): void {
  i18n.global.locale.value = locale;
  remember('language', locale);
}

/** The texts for a component. A number chooses between singular and plural. */
export function useText() {
  const { t } = useI18n();
  return (key: MessageKey, values: Record<string, string> | number = {}): string =>
    typeof values === 'number' ? t(key, values) : t(key, values);
}
