/** Browsers whose permission settings are described. */
export type Browser = 'chrome' | 'edge' | 'firefox' | 'safari' | 'ios' | 'other';

/**
 * Returns the browser named by a `navigator.userAgent`. No feature reveals where a browser has its buttons, so the
 * name is used here, and nowhere else.
 */
export function browserOf(userAgent: string): Browser {
  // On iOS every browser uses Safari's permissions.
  if (/iPhone|iPad|iPod/.test(userAgent)) return 'ios';
  if (userAgent.includes('Edg')) return 'edge';
  if (userAgent.includes('Firefox/')) return 'firefox';
  if (userAgent.includes('Chrome/')) return 'chrome';
  return userAgent.includes('Safari/') ? 'safari' : 'other';
}
