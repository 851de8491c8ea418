import { beforeEach, describe, expect, test } from 'vitest';
import type { ChatFile, FileSource, LinkState, TransferState } from '../types';
import { FakeDataChannel } from '../testing/channel';
import { FakeClock, settled } from '../testing/clock';
import { fakeFile, FakeStore } from '../testing/files';
import { Chat } from './chat';
import { FILES_AT_ONCE } from './files';
import { BLOCK_BYTES, CHUNK_BYTES, chunkFrame, FILE_BYTES, WINDOW_BYTES } from './wire';

let clock: FakeClock;
let store: FakeStore;
let ada: Chat;
let grace: Chat;
let changes: number;
/** Ada's and Grace's ends. */
let channels: [FakeDataChannel, FakeDataChannel];

function link(at: Chat, id: string, name: string, state: LinkState = 'connected'): void {
  at.setOthers([{ id, name, link: state, resting: false, writer: 'participant' }]);
}

beforeEach(() => {
  clock = new FakeClock();
  store = new FakeStore();
  changes = 0;
  ada = new Chat({ clock, store: new FakeStore(), onChange: () => undefined });
  grace = new Chat({ clock, store, onChange: () => (changes += 1) });
  channels = FakeDataChannel.pair();
  ada.attach('grace', channels[0] as unknown as RTCDataChannel);
  grace.attach('ada', channels[1] as unknown as RTCDataChannel);
  link(ada, 'grace', 'Grace');
  link(grace, 'ada', 'Ada');
  channels[0].connect(channels[1]);
  channels[1].connect(channels[0]);
});

const entry = (chat: Chat): ChatFile => {
  const found = chat.entries.at(-1);
  if (found?.kind !== 'file') throw new Error('no file was offered');
  return found;
};
const states = (): (TransferState | undefined)[] =>
  [ada, grace].map((chat) => entry(chat).transfers[0]?.state);

/** Lets Ada offer a file, and the offer arrive. */
async function offered(source: FileSource): Promise<void> {
  expect(ada.offer(source)).toBe('offered');
  await settled();
}

async function accepted(source: FileSource): Promise<void> {
  await offered(source);
  grace.accept(entry(grace).id);
  await settled();
}

/** Waits until nothing changes any more. */
async function over(): Promise<void> {
  for (let turns = 0; turns < 400; turns++) await settled();
}

async function wholeOf(source: FileSource): Promise<Uint8Array> {
  return new Uint8Array(await source.slice(0, source.size).arrayBuffer());
}

/** Compares quickly: matchers that check every byte take seconds. */
function expectWhole(saved: Uint8Array | undefined, whole: Uint8Array): void {
  expect(saved?.length).toBe(whole.length);
  expect(Buffer.compare(saved ?? new Uint8Array(), whole)).toBe(0);
}

describe('a file', () => {
  test.each([0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, BLOCK_BYTES, 3 * BLOCK_BYTES + 17])(
    'of %d bytes arrives whole',
    async (size) => {
      const source = fakeFile(size, '纪要.txt');
      await accepted(source);
      await over();
      expect(states()).toEqual(['done', 'done']);
      expect(store.saved).toHaveLength(1);
      expect(store.saved[0]?.name).toBe('纪要.txt');
      expectWhole(store.saved[0]?.bytes, await wholeOf(source));
      for (const frame of channels[0].sent) {
        expect(typeof frame === 'string' ? 0 : frame.byteLength).toBeLessThanOrEqual(4 + CHUNK_BYTES);
      }
    },
  );

  test('is only offered until it is taken', async () => {
    await offered(fakeFile(100));
    expect(states()).toEqual(['offered', 'offered']);
    expect(entry(grace)).toMatchObject({ from: 'ada', name: 'Ada', file: 'notes.txt', size: 100 });
    expect(channels[0].sent).toHaveLength(1);
  });

  test('for nobody, or too large, is not offered', () => {
    expect(ada.offer({ ...fakeFile(0), size: FILE_BYTES + 1 })).toBe('too_large');
    expect(ada.offer(fakeFile(1), 'someone')).toBe('nobody');
    link(ada, 'alan', 'Alan');
    expect(ada.offer(fakeFile(1))).toBe('nobody');
    expect(ada.entries).toEqual([]);
  });

  test('too many at once are refused on both sides', async () => {
    for (let i = 0; i < FILES_AT_ONCE; i++) expect(ada.offer(fakeFile(1))).toBe('offered');
    expect(ada.offer(fakeFile(1))).toBe('too_many');
    await settled();
    channels[0].send('{"type":"offer","id":1,"name":"x","size":1}');
    await settled();
    expect(grace.entries).toHaveLength(FILES_AT_ONCE);
    expect(channels[1].sent).toEqual(['{"type":"refuse","id":1}']);
  });

  test('two at once arrive whole', async () => {
    const sources = [fakeFile(2 * BLOCK_BYTES + 5, 'a'), fakeFile(BLOCK_BYTES + 7, 'b')];
    for (const source of sources) await accepted(source);
    await over();
    expect(store.saved.map(({ name }) => name).sort()).toEqual(['a', 'b']);
    for (const source of sources) {
      expectWhole(store.saved.find(({ name }) => name === source.name)?.bytes, await wholeOf(source));
    }
  });

  test('that is too large for the browser is refused by itself', async () => {
    store.largest = 10;
    await offered(fakeFile(11));
    await over();
    expect(states()).toEqual(['refused', 'too_large']);
  });

  test('stays offered when nobody chooses a place for it', async () => {
    store.answer = 'no';
    await accepted(fakeFile(10));
    expect(states()).toEqual(['offered', 'offered']);
    store.answer = 'yes';
    grace.accept(entry(grace).id);
    await over();
    expect(states()).toEqual(['done', 'done']);
  });
});

describe('back-pressure', () => {
  test('a slow channel is not filled', async () => {
    channels[0].hold();
    await offered(fakeFile(8 * BLOCK_BYTES));
    channels[0].release();
    await settled();
    channels[0].hold();
    grace.accept(entry(grace).id);
    await over();
    expect(channels[0].fullest).toBeLessThan(3 * BLOCK_BYTES);
    channels[0].release();
    await over();
    expect(states()).toEqual(['done', 'done']);
  });

  test('a slow disk is not outrun', async () => {
    const release = store.hold();
    await accepted(fakeFile(2 * WINDOW_BYTES));
    await over();
    const sent = channels[0].sent.reduce(
      (sum, frame) => sum + (typeof frame === 'string' ? 0 : frame.byteLength - 4),
      0,
    );
    expect(sent).toBeGreaterThan(WINDOW_BYTES / 2);
    expect(sent).toBeLessThanOrEqual(WINDOW_BYTES);
    release();
    await over();
    expect(states()).toEqual(['done', 'done']);
  });

  test('progress is what is stored, and shown now and then', async () => {
    const release = store.hold();
    await accepted(fakeFile(3 * BLOCK_BYTES));
    await over();
    expect(entry(ada).transfers[0]?.bytes).toBe(0);
    const before = changes;
    release();
    await over();
    expect(entry(ada).transfers[0]?.bytes).toBe(3 * BLOCK_BYTES);
    // The end is shown at once, progress before it only at its interval.
    expect(changes).toBe(before + 1);
    clock.advance(1000);
    expect(changes).toBe(before + 2);
  });
});

describe('ends', () => {
  /** Starts a transfer whose receiver has a slow disk. */
  async function moving(): Promise<() => void> {
    const release = store.hold();
    await accepted(fakeFile(2 * WINDOW_BYTES));
    await over();
    expect(states()).toEqual(['moving', 'moving']);
    return release;
  }

  test.each(['offered', 'moving'])('the sender withdraws what is %s', async (when) => {
    if (when === 'moving') await moving();
    else await offered(fakeFile(10));
    ada.stop(entry(ada).id);
    await over();
    expect(states()).toEqual(['withdrawn', 'withdrawn']);
    expect(store.aborted).toBe(when === 'moving' ? 1 : 0);
  });

  test.each(['offered', 'moving'])('the receiver refuses what is %s', async (when) => {
    if (when === 'moving') await moving();
    else await offered(fakeFile(10));
    grace.stop(entry(grace).id);
    await over();
    const frames = channels[0].sent.length;
    await over();
    expect(states()).toEqual(['refused', 'refused']);
    expect(channels[0].sent).toHaveLength(frames);
    expect(store.saved).toEqual([]);
  });

  test('the link is lost', async () => {
    await moving();
    channels[0].close();
    await over();
    expect(states()).toEqual(['lost', 'lost']);
    expect(store.aborted).toBe(1);
  });

  test('the other one leaves', async () => {
    await moving();
    ada.setOthers([]);
    grace.setOthers([]);
    expect(states()).toEqual(['lost', 'lost']);
  });

  test('there is no path any more', async () => {
    await moving();
    link(grace, 'ada', 'Ada', 'failed');
    await over();
    expect(states()).toEqual(['refused', 'lost']);
  });

  test('the disk is full, and the sender is told', async () => {
    store.limit = 2 * BLOCK_BYTES;
    await accepted(fakeFile(8 * BLOCK_BYTES));
    await over();
    expect(states()).toEqual(['refused', 'unwritable']);
    expect(store.aborted).toBe(1);
  });

  test('there is no place for it at all', async () => {
    store.answer = 'broken';
    await accepted(fakeFile(8));
    await over();
    expect(states()).toEqual(['refused', 'unwritable']);
  });

  test('it cannot be read any more', async () => {
    const source = fakeFile(10);
    const broken = { arrayBuffer: () => Promise.reject(new Error('NotReadableError')) };
    await accepted({ ...source, slice: () => broken });
    await over();
    expect(states()).toEqual(['unreadable', 'withdrawn']);
  });

  test('it is shorter than it was', async () => {
    await accepted({ ...fakeFile(10), size: 20 });
    await over();
    expect(states()).toEqual(['unreadable', 'withdrawn']);
  });
});

describe('a mean peer', () => {
  const say = (message: object): void => {
    channels[0].send(JSON.stringify(message));
  };
  const offer = { type: 'offer', id: 1, name: '../x', size: 10 };

  test('that sends more than it said is stopped', async () => {
    say(offer);
    await settled();
    grace.accept(entry(grace).id);
    await settled();
    channels[0].send(chunkFrame(1, new Uint8Array(11)));
    await over();
    expect(entry(grace)).toMatchObject({ file: '_x', transfers: [{ state: 'broken' }] });
    expect(store.saved).toEqual([]);
  });

  test('that sends faster than agreed is stopped', async () => {
    store.hold();
    say({ ...offer, size: FILE_BYTES });
    await settled();
    grace.accept(entry(grace).id);
    await settled();
    for (let bytes = 0; bytes <= WINDOW_BYTES; bytes += CHUNK_BYTES) {
      channels[0].send(chunkFrame(1, new Uint8Array(CHUNK_BYTES)));
    }
    await over();
    expect(entry(grace).transfers[0]?.state).toBe('broken');
  });

  test.each([
    ['of one byte', 1],
    ['smaller than agreed', CHUNK_BYTES - 1],
  ])('that sends pieces %s is stopped', async (_, bytes) => {
    say({ ...offer, size: BLOCK_BYTES });
    await settled();
    grace.accept(entry(grace).id);
    await settled();
    channels[0].send(chunkFrame(1, new Uint8Array(CHUNK_BYTES)));
    await settled();
    expect(entry(grace).transfers[0]?.state).toBe('moving');
    channels[0].send(chunkFrame(1, new Uint8Array(bytes)));
    await over();
    expect(entry(grace).transfers[0]?.state).toBe('broken');
    expect(channels[1].sent.at(-1)).toBe('{"type":"refuse","id":1}');
  });

  test('that sends without being asked is not heard', async () => {
    say(offer);
    channels[0].send(chunkFrame(1, new Uint8Array(10)));
    channels[0].send(chunkFrame(2, new Uint8Array(10)));
    await over();
    expect(entry(grace).transfers[0]).toMatchObject({ state: 'offered', bytes: 0 });
  });

  test('that counts what it has got byte by byte is not believed', async () => {
    const release = store.hold();
    await accepted(fakeFile(2 * BLOCK_BYTES));
    await over();
    const { id } = JSON.parse(channels[0].sent[0] as string) as { id: number };
    for (const bytes of [1, 2, BLOCK_BYTES - 1]) channels[1].send(JSON.stringify({ type: 'got', id, bytes }));
    await settled();
    clock.advance(1_000);
    expect(entry(ada).transfers[0]).toMatchObject({ state: 'moving', bytes: 0 });
    release();
    await over();
    expect(states()).toEqual(['done', 'done']);
  });

  test('that counts what it has not got is not believed', async () => {
    await offered(fakeFile(10));
    const { id } = JSON.parse(channels[0].sent[0] as string) as { id: number };
    for (const bytes of [10, 11]) channels[1].send(JSON.stringify({ type: 'got', id, bytes }));
    await over();
    expect(entry(ada).transfers[0]).toMatchObject({ state: 'offered', bytes: 0 });
  });

  test('that offers the same twice has offered once', async () => {
    say(offer);
    say(offer);
    await settled();
    expect(grace.entries).toHaveLength(1);
  });
});
