/** Speech recognition on this device (Web Speech API). Browsers whose recognition needs a service are treated as without. */

interface Recognition extends EventTarget {
  lang: string;
  continuous: boolean;
  interimResults: boolean;
  processLocally: boolean;
  start(track: MediaStreamTrack): void;
  abort(): void;
}

/** The constructor as Chromium has it from version 139; the DOM types do not know it. */
interface RecognitionConstructor {
  new (): Recognition;
  available?(options: { langs: string[]; processLocally: true }): Promise<string>;
}

/** What a listener is told. */
export interface SpeechListener {
  /** What was understood of the present utterance so far; `isFinal` ends it. */
  readonly onText: (text: string, isFinal: boolean) => void;
  /** Recognition is not possible after all. */
  readonly onFailure: () => void;
}

/** Errors after which the browser would fail again. `no-speech` and `aborted` are not among them. */
const LASTING = ['not-allowed', 'service-not-allowed', 'language-not-supported', 'audio-capture'];
/** Browsers end a session after some time without speech. */
const RESTART_MS = 250;

function constructorOf(): RecognitionConstructor | undefined {
  return (globalThis as { SpeechRecognition?: RecognitionConstructor }).SpeechRecognition;
}

/** Whether speech in this language is recognised here without any service and without a download. */
export async function canRecognise(language: string): Promise<boolean> {
  try {
    // `downloadable` is not enough: the browser's vendor would learn of the download.
    const state = await constructorOf()?.available?.({ langs: [language], processLocally: true });
    return state === 'available';
  } catch {
    return false;
  }
}

/** Recognises the speech of a track until the returned function is called. */
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
    // Never by a service, whatever becomes of the language pack meanwhile.
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
