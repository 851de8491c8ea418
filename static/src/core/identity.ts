/**
 * One DTLS certificate per tab and room, kept in IndexedDB so that safety codes survive reconnects and reloads.
 * Scripts cannot read its private key (W3C WebRTC §4.9). A tab is identified by its `sessionStorage`, which survives
 * a reload.
 */
import { type Comparison, type Identity, Verification } from './verification';

const DATABASE = 'roundtable';
const STORE = 'identities';
/** Time for which a page may resume a session. A later visit deletes older entries. */
const LIFETIME_MS = 24 * 60 * 60 * 1_000;
/** Timeout for storage, after which the page continues without it. */
const STORAGE_MS = 2_000;
/**
 * The longest validity that browsers allow, because a page may stay open and connections reject an expired
 * certificate.
 */
const VALIDITY_MS = 365 * 24 * 60 * 60 * 1_000;

interface Stored {
  readonly key: string;
  readonly certificate: RTCCertificate;
  readonly created: number;
  readonly comparisons: readonly Comparison[];
}

/** Resumes this tab's session in a room, or begins one. Without storage, the session ends with the page. */
export async function openVerification(room: string): Promise<Verification> {
  return new Verification(await openIdentity(room));
}

async function openIdentity(room: string): Promise<Identity> {
  const item = `roundtable.identity.${room}`;
  const stored = await quietly(() => find(sessionStorage.getItem(item)));
  let session = stored ?? (await begin());
  const save = (comparisons: readonly Comparison[]): void => {
    session = { ...session, comparisons };
    void quietly(() => transact((store) => store.put(session)));
  };
  if (!stored) {
    await quietly(async () => {
      await transact((store) => store.put(session));
      sessionStorage.setItem(item, session.key);
    });
  }
  const { certificate, comparisons, key } = session;
  const end = (): void => {
    void quietly(() => {
      sessionStorage.removeItem(item);
      return transact((store) => store.delete(key));
    });
  };
  return { certificate, comparisons, save, end };
}

async function begin(): Promise<Stored> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', expires: VALIDITY_MS };
  const certificate = await RTCPeerConnection.generateCertificate(algorithm);
  return { key: crypto.randomUUID(), certificate, created: Date.now(), comparisons: [] };
}

/** Deletes expired entries and returns the entry stored under the key. */
async function find(key: string | null): Promise<Stored | undefined> {
  const all = (await transact((store) => store.getAll())) as readonly Stored[];
  const isFresh = ({ created }: Stored): boolean => Date.now() - created < LIFETIME_MS;
  const expired = all.filter((stored) => !isFresh(stored));
  for (const { key } of expired) await transact((store) => store.delete(key));
  return all.find((stored) => stored.key === key && isFresh(stored));
}

function transact<T>(act: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const fail = (request: IDBRequest) => (): void => {
      reject(request.error ?? new Error('IndexedDB failed.'));
    };
    const opening = indexedDB.open(DATABASE, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE, { keyPath: 'key' });
    opening.onerror = fail(opening);
    opening.onsuccess = () => {
      const database = opening.result;
      const transaction = database.transaction(STORE, 'readwrite');
      const request = act(transaction.objectStore(STORE));
      request.onerror = fail(request);
      transaction.onabort = fail(request);
      transaction.oncomplete = () => {
        database.close();
        resolve(request.result);
      };
    };
  });
}

/**
 * Runs a storage operation and ignores failures and timeouts. Storage is unavailable to some embedded and private
 * pages, and hangs in others.
 */
async function quietly<T>(act: () => Promise<T>): Promise<T | undefined> {
  const late = new Promise<undefined>((resolve) => {
    setTimeout(() => {
      resolve(undefined);
    }, STORAGE_MS);
  });
  try {
    return await Promise.race([act(), late]);
  } catch {
    return undefined;
  }
}
