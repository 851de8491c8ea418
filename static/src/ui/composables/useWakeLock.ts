import { onBeforeUnmount, onMounted } from 'vue';

/** Keeps the screen on as long as the component lives and the page is visible (W3C Screen Wake Lock). */
export function useWakeLock(): void {
  let lock: WakeLockSentinel | undefined;
  let isEnded = false;

  /** Requests the lock. Browsers release it when the page is hidden, and do not restore it. */
  async function request(): Promise<void> {
    // The DOM types do not account for browsers without it.
    const { wakeLock } = navigator as { readonly wakeLock?: WakeLock };
    if (!wakeLock || document.visibilityState !== 'visible' || lock?.released === false) return;
    try {
      const granted = await wakeLock.request('screen');
      if (isEnded) await granted.release();
      else lock = granted;
    } catch {
      // For example on low battery: the screen turns off as usual.
    }
  }
  const look = (): void => void request();

  onMounted(() => {
    document.addEventListener('visibilitychange', look);
    look();
  });
  onBeforeUnmount(() => {
    isEnded = true;
    document.removeEventListener('visibilitychange', look);
    void lock?.release();
  });
}
