/** The browsers whose way to a permission is described. */
export type Browser = 'chrome' | 'edge' | 'firefox' | 'safari' | 'ios' | 'other';

/**
 * Which browser a `navigator.userAgent` names. No feature tells where a browser keeps its buttons, so that the
 * name is asked for here, and nowhere else.
 */
export function browserOf(userAgent: string): Browser {
  // On iOS every browser asks as Safari does.
  if (/iPhone|iPad|iPod/.test(userAgent)) return 'ios';
  if (userAgent.includes('Edg')) return 'edge';
  if (userAgent.includes('Firefox/')) return 'firefox';
  if (userAgent.includes('Chrome/')) return 'chrome';
  return userAgent.includes('Safari/') ? 'safari' : 'other';
}
