import { onBeforeUnmount, onMounted } from 'vue';

/** Keeps the screen on for as long as the component lives and its page is shown (W3C Screen Wake Lock). */
export function useWakeLock(): void {
  let lock: WakeLockSentinel | undefined;
  let isEnded = false;

  /** Browsers release the lock of a page that is hidden, and do not take it again by themselves. */
  async function request(): Promise<void> {
    // The DOM types do not know of browsers that lack it.
    const { wakeLock } = navigator as { readonly wakeLock?: WakeLock };
    if (!wakeLock || document.visibilityState !== 'visible' || lock?.released === false) return;
    try {
      const granted = await wakeLock.request('screen');
      if (isEnded) await granted.release();
      else lock = granted;
    } catch {
      // A battery that runs low: the screen goes off as the system says.
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
