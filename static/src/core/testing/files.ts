import type { FileSink, FileStore } from '../chat/save';
import type { FileSource } from '../types';

/** Saves files where the test can inspect them. */
export class FakeStore implements FileStore {
  readonly saved: { name: string; bytes: Uint8Array }[] = [];
  aborted = 0;
  /** Result of asking where to save a file. */
  answer: 'yes' | 'no' | 'broken' = 'yes';
  /** Size after which writes fail, as on a full disk. */
  limit = Infinity;
  largest = Infinity;
  #held: Promise<void> = Promise.resolve();

  canSave(size: number): boolean {
    return size <= this.largest;
  }

  /** Delays writes until the returned function is called. */
  hold(): () => void {
    let release = (): void => undefined;
    this.#held = new Promise((resolve) => {
      release = resolve;
    });
    return release;
  }

  readonly downloads: { name: string; blob: Blob }[] = [];

  download(blob: Blob, name: string): void {
    this.downloads.push({ name, blob });
  }

  save(name: string): Promise<FileSink | undefined> {
    if (this.answer === 'no') return Promise.resolve(undefined);
    if (this.answer === 'broken') return Promise.reject(new Error('no disk'));
    const written: Uint8Array[] = [];
    let length = 0;
    return Promise.resolve({
      write: async (pieces: readonly Uint8Array<ArrayBuffer>[]) => {
        await this.#held;
        for (const piece of pieces) {
          written.push(piece.slice());
          length += piece.length;
        }
        if (length > this.limit) throw new Error('disk full');
      },
      close: () => {
        this.saved.push({ name, bytes: Uint8Array.from(Buffer.concat(written)) });
        return Promise.resolve();
      },
      abort: () => {
        this.aborted += 1;
      },
    });
  }
}

/** Creates a file whose bytes depend on their position. */
export function fakeFile(size: number, name = 'notes.txt'): FileSource {
  const bytes = Uint8Array.from({ length: size }, (_, i) => (i * 31 + (i >> 8)) % 251);
  return {
    name,
    size,
    slice: (start, end) => ({ arrayBuffer: () => Promise.resolve(bytes.slice(start, end).buffer) }),
  };
}
