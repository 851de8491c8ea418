import { registerMessageResolver, resolveValue } from '@intlify/core-base';
import { createI18n, useI18n } from 'petite-vue-i18n';
import { remember, remembered } from '../remembered';
import type { LobbyMessages, Messages } from './en';
import type { AdminMessages } from './en.admin';
import type { DiagMessages } from './en.diag';
import type { RoomMessages } from './en.room';

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

// petite-vue-i18n resolves flat keys only; these are paths.
registerMessageResolver(resolveValue);

/** Texts in the user's language. Each language is loaded on demand. */
export const i18n = createI18n<[Messages], Locale, false>({
  locale: preferred(),
  messages: {} as Record<Locale, Messages>,
});

interface Parts {
  readonly lobby: () => Promise<LobbyMessages>;
  readonly room: () => Promise<RoomMessages>;
  readonly diag: () => Promise<DiagMessages>;
  readonly admin: () => Promise<AdminMessages>;
}

/** Loaders of the texts. Each part's texts are loaded with the part, not in the first load. */
const TEXTS: Readonly<Record<Locale, Parts>> = {
  en: {
    lobby: async () => (await import('./en')).en,
    room: async () => (await import('./en.room')).enRoom,
    diag: async () => (await import('./en.diag')).enDiag,
    admin: async () => (await import('./en.admin')).enAdmin,
  },
  'zh-CN': {
    lobby: async () => (await import('./zh-CN')).zhCN,
    room: async () => (await import('./zh-CN.room')).zhCNRoom,
    diag: async () => (await import('./zh-CN.diag')).zhCNDiag,
    admin: async () => (await import('./zh-CN.admin')).zhCNAdmin,
  },
};

let wanted = preferred();
/** The operator's name for the service. */
let productName: string | undefined;
const shown = new Set<'room' | 'diag' | 'admin'>();
let loading = Promise.resolve();

/** Loads and shows the texts wanted at that moment. Loads are serialized, so that the last request wins. */
function load(): Promise<void> {
  loading = loading
    .catch(() => undefined)
    .then(async () => {
      const locale = wanted;
      const { lobby, ...parts } = TEXTS[locale];
      const [first, room, diag, admin] = await Promise.all([
        lobby(),
        shown.has('room') ? parts.room() : undefined,
        shown.has('diag') ? parts.diag() : undefined,
        shown.has('admin') ? parts.admin() : undefined,
      ]);
      // A text is stored in the part that needs it first, so groups are spread over the parts.
      const texts: Record<string, unknown> = {
        ...first,
        ...(productName !== undefined && { product: () => productName }),
      };
      for (const [group, more] of Object.entries({ ...room, ...diag, ...admin })) {
        const known = texts[group];
        texts[group] = typeof known === 'object' ? { ...known, ...(more as object) } : more;
      }
      i18n.global.setLocaleMessage(locale, texts as Messages);
      i18n.global.locale.value = locale;
      document.documentElement.lang = locale;
    });
  return loading;
}

/** Loads the user's language; before that there are no texts. */
export function loadTexts(): Promise<void> {
  return load();
}

/** Loads the texts of the room, from now on in every language. */
export function loadRoomTexts(): Promise<void> {
  shown.add('room');
  return load();
}

/** Loads the texts of the diagnostics page, from now on in every language. */
export function loadDiagTexts(): Promise<void> {
  shown.add('diag');
  return load();
}

/** Loads the texts of the operator's page, from now on in every language. */
export function loadAdminTexts(): Promise<void> {
  shown.add('admin');
  return load();
}

/** Renames the service, in every language. */
export function setProductName(name: string): Promise<void> {
  productName = name;
  return load();
}

/** Changes and remembers the language. Rejects and changes nothing if the texts cannot be loaded. */
export async function setLocale(locale: Locale): Promise<void> {
  wanted = locale;
  try {
    await load();
  } catch (error) {
    // Otherwise later loads would use the new language.
    if (wanted === locale) wanted = i18n.global.locale.value;
    throw error;
  }
  remember('language', locale);
}

/** Returns a function that looks up texts for a component. A number selects singular or plural. */
export function useText() {
  const { t } = useI18n();
  return (key: MessageKey, values: Record<string, string> | number = {}): string =>
    typeof values === 'number' ? t(key, values) : t(key, values);
}
