/** Where files that arrive are put: on the disk as they come, or else in memory until they are whole. */

/** A file that is being written. */
export interface FileSink {
  write(pieces: readonly Uint8Array<ArrayBuffer>[]): Promise<void>;
  /**
   * Where it can be done: what was written until now stays, whatever comes. Calls `kept` as soon as that is so;
   * it may fail after that.
   */
  keep?(kept: () => void): Promise<void>;
  /** Writes over the beginning of the file. Only `close` may follow. Absent if what is written has gone elsewhere. */
  replaceStart?(bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  /** It is whole: only now it appears under its name. */
  close(): Promise<void>;
  /** Nothing is to be left of it. Never throws. */
  abort(): void;
}

/** What keeps files: a browser, or a test. */
export interface FileStore {
  /** Whether a file of this size can be taken. */
  canSave(size: number): boolean;
  /** Asks where a file goes; `undefined` when the person would rather not. To be called in a gesture. */
  save(name: string): Promise<FileSink | undefined>;
  /** Saves what is whole already, without asking. */
  download(blob: Blob, name: string): void;
}

/** The largest file where it must be kept in memory. */
export const MEMORY_BYTES = 512 * 1024 ** 2;
/** How long the browser may take to start a download. */
const REVOKE_MS = 60_000;

/** File System Access §3.5, which not every browser has, and none over plain http. */
type Picker = (options: { suggestedName: string }) => Promise<FileSystemFileHandle>;

/** This browser. */
export const browserFiles: FileStore = {
  canSave: (size) => picker() !== undefined || size <= MEMORY_BYTES,
  save: (name) => {
    const pick = picker();
    return pick ? toDisk(pick, name) : Promise.resolve(toMemory(name));
  },
  download,
};

function picker(): Picker | undefined {
  const { showSaveFilePicker } = window as { showSaveFilePicker?: Picker };
  return showSaveFilePicker?.bind(window);
}

async function toDisk(pick: Picker, name: string): Promise<FileSink | undefined> {
  try {
    const handle = await pick({ suggestedName: name });
    let stream = await handle.createWritable();
    let written = 0;
    return {
      write: async (pieces) => {
        // One write for all pieces.
        const blob = new Blob([...pieces]);
        await stream.write(blob);
        written += blob.size;
      },
      keep: async (kept) => {
        await stream.close();
        kept();
        stream = await handle.createWritable({ keepExistingData: true });
        await stream.seek(written);
      },
      replaceStart: (data) => stream.write({ type: 'write', position: 0, data }),
      close: () => stream.close(),
      abort: () => {
        // It may have ended by itself, which is as good.
        stream.abort().catch(() => undefined);
      },
    };
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') return undefined;
    throw error;
  }
}

function toMemory(name: string): FileSink {
  // Blobs of blobs: browsers move these to the disk when they are many.
  let parts: Blob[] = [];
  return {
    write: (pieces) => {
      parts.push(new Blob([...pieces]));
      return Promise.resolve();
    },
    replaceStart: (bytes) => {
      parts = [new Blob([bytes]), new Blob(parts).slice(bytes.length)];
      return Promise.resolve();
    },
    close: () => {
      // Never a type of the sender's choice, which a browser might show in place of saving it.
      download(new Blob(parts, { type: 'application/octet-stream' }), name);
      return Promise.resolve();
    },
    abort: () => {
      parts = [];
    },
  };
}

/** Saves something as the browser saves downloads. */
export function download(blob: Blob, name: string): void {
  const href = URL.createObjectURL(blob);
  const link = Object.assign(document.createElement('a'), { href, download: name });
  link.click();
  window.setTimeout(() => {
    URL.revokeObjectURL(href);
  }, REVOKE_MS);
}
