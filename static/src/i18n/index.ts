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

// The small vue-i18n knows flat keys only; ours are paths.
registerMessageResolver(resolveValue);

/** The texts, in the person's language. Each language is loaded when it is wanted. */
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

/** The texts of a part come beside it, not before the person can do something. */
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
/** What the operator calls the service. */
let productName: string | undefined;
const shown = new Set<'room' | 'diag' | 'admin'>();
let loading = Promise.resolve();

/** Shows what is wanted by then; one after the other, so that the last wish is what stays. */
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
      // A text stands where it is needed first, so groups are spread over the parts.
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

/** Loads the person's language; there are no texts before. */
export function loadTexts(): Promise<void> {
  return load();
}

/** Loads the texts of the room, in every language from now on. */
export function loadRoomTexts(): Promise<void> {
  shown.add('room');
  return load();
}

/** Loads the texts of the page that looks for what is wrong, in the same way. */
export function loadDiagTexts(): Promise<void> {
  shown.add('diag');
  return load();
}

/** Loads the texts of the operator's page, in the same way. */
export function loadAdminTexts(): Promise<void> {
  shown.add('admin');
  return load();
}

/** Calls the service by another name, in every language. */
export function setProductName(name: string): Promise<void> {
  productName = name;
  return load();
}

/** Changes the language, and remembers it. Rejects where the texts do not come, and all stays as it was. */
export async function setLocale(locale: Locale): Promise<void> {
  wanted = locale;
  try {
    await load();
  } catch (error) {
    // Or what is loaded next would be in it.
    if (wanted === locale) wanted = i18n.global.locale.value;
    throw error;
  }
  remember('language', locale);
}

/** The texts for a component. A number chooses between singular and plural. */
export function useText() {
  const { t } = useI18n();
  return (key: MessageKey, values: Record<string, string> | number = {}): string =>
    typeof values === 'number' ? t(key, values) : t(key, values);
}
