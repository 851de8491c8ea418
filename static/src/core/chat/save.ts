/** Storage for received files: written to disk as they arrive where possible, else kept in memory until complete. */

/** A file that is being written. */
export interface FileSink {
  write(pieces: readonly Uint8Array<ArrayBuffer>[]): Promise<void>;
  /**
   * Makes everything written so far survive a crash of the page or the machine. Calls `kept` as soon as that holds;
   * the promise may still reject afterwards. Absent where not supported.
   */
  keep?(kept: () => void): Promise<void>;
  /**
   * Overwrites the beginning of the file. Only `close` may follow. Absent if written data is already out of reach.
   */
  replaceStart?(bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  /** Completes the file. It appears under its name only now. */
  close(): Promise<void>;
  /** Discards the file. Never throws. */
  abort(): void;
}

/** Saves files: the browser, or a test double. */
export interface FileStore {
  /** Returns whether a file of this size can be saved. */
  canSave(size: number): boolean;
  /** Asks where to save a file; resolves with `undefined` if the user cancels. Call it during a user gesture. */
  save(name: string): Promise<FileSink | undefined>;
  /** Saves a complete blob without asking. */
  download(blob: Blob, name: string): void;
}

/** Largest file where it must be kept in memory. */
export const MEMORY_BYTES = 512 * 1024 ** 2;
/** Time the browser may take to start a download. */
const REVOKE_MS = 60_000;

/** The picker of File System Access §3.5. Not every browser has it, and none over plain HTTP. */
type Picker = (options: { suggestedName: string }) => Promise<FileSystemFileHandle>;

/** File storage of this browser. */
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
        // One write for all chunks.
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
        // The stream may already have ended, which is just as well.
        stream.abort().catch(() => undefined);
      },
    };
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') return undefined;
    throw error;
  }
}

function toMemory(name: string): FileSink {
  // Nested blobs: browsers move large ones to disk.
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
      // A fixed type: a browser might display a type chosen by the sender instead of saving it.
      download(new Blob(parts, { type: 'application/octet-stream' }), name);
      return Promise.resolve();
    },
    abort: () => {
      parts = [];
    },
  };
}

/** Saves a blob through the browser's downloads. */
export function download(blob: Blob, name: string): void {
  const href = URL.createObjectURL(blob);
  const link = Object.assign(document.createElement('a'), { href, download: name });
  link.click();
  window.setTimeout(() => {
    URL.revokeObjectURL(href);
  }, REVOKE_MS);
}
