import { ref, type Ref } from 'vue';

const SHOWN_MS = 2_000;

/** Copies a text and tracks the result. */
export interface Copy {
  /** Set for a moment after copying. */
  readonly copied: Ref<boolean>;
  /** The browser does not let this page copy (plain HTTP): the text must be shown instead. */
  readonly failed: Ref<boolean>;
  readonly copy: () => Promise<void>;
}

/** Copies the result of `text`. */
export function useCopy(text: () => string): Copy {
  const copied = ref(false);
  const failed = ref(false);
  let timer: ReturnType<typeof setTimeout> | undefined;
  async function copy(): Promise<void> {
    try {
      await navigator.clipboard.writeText(text());
    } catch {
      failed.value = true;
      return;
    }
    failed.value = false;
    copied.value = true;
    clearTimeout(timer);
    timer = setTimeout(() => (copied.value = false), SHOWN_MS);
  }
  return { copied, failed, copy };
}
