import { ref, type Ref } from 'vue';

const SHOWN_MS = 2_000;

/** Copying a text, and whether it went well. */
export interface Copy {
  /** True for a moment after it was copied. */
  readonly copied: Ref<boolean>;
  /** The browser does not let this page copy (plain http): the text must be shown. */
  readonly failed: Ref<boolean>;
  readonly copy: () => Promise<void>;
}

/** Copies the text that `text` gives. */
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
