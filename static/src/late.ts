const RETRY_MS = 1_000;
const MAX_RETRY_MS = 10_000;

/** Returns the delay after this many failed attempts, in milliseconds. */
export function pauseAfter(attempts: number): number {
  return Math.min(attempts * RETRY_MS, MAX_RETRY_MS);
}

/**
 * Loads something that the page cannot start without, retrying until it succeeds. `onLate` is called once, after the
 * first failure.
 */
export async function insist<T>(load: () => Promise<T>, onLate: () => void): Promise<T> {
  for (let attempts = 1; ; attempts++) {
    try {
      return await load();
    } catch {
      if (attempts === 1) onLate();
      await new Promise((resolve) => setTimeout(resolve, pauseAfter(attempts)));
    }
  }
}

/**
 * Shows that loading is delayed, in every language, because the texts may be what is missing. Includes a reload
 * button, because some browsers do not request a failed file again.
 */
export function sayLate(place: Element | null): void {
  const line = document.createElement('p');
  line.setAttribute('role', 'alert');
  const button = document.createElement('button');
  button.type = 'button';
  button.dataset.action = 'reload';
  button.textContent = 'Reload · 刷新';
  button.addEventListener('click', () => {
    location.reload();
  });
  line.append(
    'Part of this page could not be loaded. Trying again. · 页面未能完全加载，正在重试。',
    ' ',
    button,
  );
  place?.replaceChildren(line);
}
