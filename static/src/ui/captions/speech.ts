/**
 * Speech recognition on this device (Web Speech API). A browser whose recognition needs a service is treated as
 * having none.
 */

interface Recognition extends EventTarget {
  lang: string;
  continuous: boolean;
  interimResults: boolean;
  processLocally: boolean;
  start(track: MediaStreamTrack): void;
  abort(): void;
}

/** The constructor in Chromium from version 139; the DOM types lack it. */
interface RecognitionConstructor {
  new (): Recognition;
  available?(options: { langs: string[]; processLocally: true }): Promise<string>;
}

/** Callbacks of a recognition. */
export interface SpeechListener {
  /** The text of the current utterance so far; `isFinal` ends it. */
  readonly onText: (text: string, isFinal: boolean) => void;
  /** Recognition is not possible after all. */
  readonly onFailure: () => void;
}

/** Errors after which the browser would fail again. `no-speech` and `aborted` are not among them. */
const LASTING = ['not-allowed', 'service-not-allowed', 'language-not-supported', 'audio-capture'];
/** Delay before a restart; browsers end a session after some time without speech. */
const RESTART_MS = 250;

function constructorOf(): RecognitionConstructor | undefined {
  return (globalThis as { SpeechRecognition?: RecognitionConstructor }).SpeechRecognition;
}

/** Returns whether speech in this language can be recognized here, without a service and without a download. */
export async function canRecognise(language: string): Promise<boolean> {
  try {
    // `downloadable` is not enough: the browser's vendor would learn of the download.
    const state = await constructorOf()?.available?.({ langs: [language], processLocally: true });
    return state === 'available';
  } catch {
    return false;
  }
}

/** Recognizes the speech of a track until the returned function is called. */
export function recognise(track: MediaStreamTrack, language: string, listener: SpeechListener): () => void {
  const Constructor = constructorOf();
  if (!Constructor) {
    listener.onFailure();
    return () => undefined;
  }
  const abort = new AbortController();
  const { signal } = abort;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const recognition = new Constructor();
  Object.assign(recognition, {
    lang: language,
    continuous: true,
    interimResults: true,
    // Never use a service, even if the language pack is removed meanwhile.
    processLocally: true,
  });
  const fail = (): void => {
    abort.abort();
    listener.onFailure();
  };
  const start = (): void => {
    try {
      recognition.start(track);
    } catch {
      fail();
    }
  };
  recognition.addEventListener(
    'result',
    (event) => {
      const { results, resultIndex } = event as Event & {
        readonly results: SpeechRecognitionResultList;
        readonly resultIndex: number;
      };
      for (const result of [...results].slice(resultIndex)) {
        listener.onText(result[0]?.transcript.trim() ?? '', result.isFinal);
      }
    },
    { signal },
  );
  recognition.addEventListener(
    'error',
    (event) => {
      if (LASTING.includes((event as Event & { readonly error: string }).error)) fail();
    },
    { signal },
  );
  recognition.addEventListener(
    'end',
    () => {
      timer = setTimeout(start, RESTART_MS);
    },
    { signal },
  );
  start();
  return () => {
    abort.abort();
    clearTimeout(timer);
    recognition.abort();
  };
}
