import { computed, ref, watch, type Ref } from 'vue';
import { useI18n } from 'petite-vue-i18n';

/** Captions in a room. */
export interface CaptionDesk {
  /** Set if this browser recognizes speech in the page's language on this device. */
  readonly available: Ref<boolean>;
  readonly on: Ref<boolean>;
  /** The language to recognize. */
  readonly language: Ref<string>;
}

/** Checks whether captions can be offered, again for each language of the page. */
export function useCaptions(): CaptionDesk {
  const { locale } = useI18n();
  const available = ref(false);
  const on = ref(false);
  // Chromium names language packs with a region.
  const language = computed(() => (locale.value === 'en' ? 'en-US' : 'cmn-Hans-CN'));
  watch(
    language,
    async (wanted) => {
      on.value = false;
      available.value = false;
      // Most browsers have no such API. Chromium's engine without the browser around it, which has no `chrome`
      // object, terminates a page that calls it (observed with the headless shell, version 156).
      if (!('SpeechRecognition' in globalThis) || !('chrome' in globalThis)) return;
      const { canRecognise } = await import('../captions/speech');
      const can = await canRecognise(wanted);
      if (wanted === language.value) available.value = can;
    },
    { immediate: true },
  );
  return { available, on, language };
}
