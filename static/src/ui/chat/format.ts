const UNITS = ['byte', 'kilobyte', 'megabyte', 'gigabyte'] as const;

/** Formats a file size for display. */
export function formatSize(bytes: number, locale: string): string {
  const power = bytes < 1 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log10(bytes) / 3));
  return new Intl.NumberFormat(locale, {
    style: 'unit',
    unit: UNITS[power] ?? 'byte',
    unitDisplay: power === 0 ? 'long' : 'short',
    maximumFractionDigits: power < 2 ? 0 : 1,
  }).format(bytes / 1000 ** power);
}

/**
 * Formats the time of day in the page's language and the user's regional format. The browser's languages give the
 * region (`en-GB`), and the first one decides between 12 and 24 hours.
 */
export function formatTime(
  milliseconds: number,
  locale: string,
  languages: readonly string[] = navigator.languages,
): string {
  const language = (tag: string): string => tag.split('-')[0] ?? '';
  const regional = languages.find((tag) => language(tag) === language(locale)) ?? locale;
  const { hourCycle } = new Intl.DateTimeFormat(languages[0], { hour: 'numeric' }).resolvedOptions();
  return new Intl.DateTimeFormat(regional, {
    hour: 'numeric',
    minute: '2-digit',
    ...(hourCycle && { hourCycle }),
  }).format(milliseconds);
}
