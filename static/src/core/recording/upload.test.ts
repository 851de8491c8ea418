import { beforeEach, expect, test } from 'vitest';
import { addressOf } from '../address';
import { FakeClock, settled } from '../testing/clock';
import { isRecorded, type RecordingServer, type Send } from './server';
import { block, cluster, HEAD } from '../testing/webm';
import { seekable } from './seekable';
import { beginUpload, type Upload } from './upload';

/** A recordings server that a test can break. */
class FakeServer {
  stored: number[] = [];
  finished = 0;
  readonly asked: string[] = [];
  readonly sizes: number[] = [];
  /** Answers that replace the regular ones, in order; `lost` executes the request and loses the answer. */
  readonly troubles: ('away' | 'lost' | 'none' | [number, string])[] = [];
  features: string[] = ['recordings'];
  recorded = false;

  readonly send: Send = async (url, { method, headers, body }) => {
    const { pathname, searchParams } = new URL(url);
    expect(url).not.toMatch(/resume|secret/);
    this.asked.push(`${method} ${pathname.replace('/signal-api/v1/', '')}`);
    if (method === 'PUT') this.sizes.push((body as Blob).size);
    const trouble = this.troubles.shift();
    if (trouble === 'away') throw new TypeError('network');
    if (Array.isArray(trouble)) return answer(trouble[0], { code: trouble[1], message: '' });
    const data = await this.#data(method, pathname, searchParams, headers?.authorization, body);
    if (trouble === 'lost') throw new TypeError('network');
    return answer(200, { code: 'SUCCESS', data });
  };

  async #data(
    method: string,
    path: string,
    query: URLSearchParams,
    authorization: string | undefined,
    body: string | Blob | undefined,
  ): Promise<unknown> {
    if (path.endsWith('/welcome')) return { name: 'roundtable', features: this.features };
    if (path.includes('/rooms/')) return { recorded: this.recorded };
    expect(query.get('room')).toBe('stand up');
    if (path.endsWith('/recordings')) {
      expect(JSON.parse(body as string)).toEqual({ room: 'stand up', resume: 'a resume secret' });
      return { id: 'id', upload: 'an upload secret' };
    }
    expect(authorization).toBe('Bearer an upload secret');
    if (path.endsWith('/finish')) this.finished += 1;
    else if (method === 'PUT' && Number(query.get('offset')) === this.stored.length)
      for (const byte of new Uint8Array(await (body as Blob).arrayBuffer())) this.stored.push(byte);
    return { length: this.stored.length };
  }
}

function answer(status: number, envelope: object): { status: number; text: () => Promise<string> } {
  return { status, text: () => Promise.resolve(JSON.stringify(envelope)) };
}

const bytes = (...values: number[]): Uint8Array<ArrayBuffer> => Uint8Array.from(values);

let server: FakeServer;
let clock: FakeClock;
let way: RecordingServer;
let told: string[];
let rest: Blob | undefined;
let left: number[];

beforeEach(() => {
  server = new FakeServer();
  clock = new FakeClock();
  const address = addressOf('https://meet.example/r/x', '../');
  way = { address, room: 'stand up', send: server.send, clock };
  told = [];
  left = [];
  rest = undefined;
});

async function begun(limit = 1_000): Promise<Upload> {
  const upload = await beginUpload(way, 'a resume secret', {
    limit,
    onBehind: (behind) => told.push(behind ? 'behind' : 'caught up'),
    onLeft: (bytes) => left.push(bytes),
    onLocal: (code) => told.push(code),
    onFull: () => told.push('full'),
    saveRest: (blob) => (rest = blob),
  });
  if (typeof upload === 'string') throw new Error(upload);
  return upload;
}

/** Checks that the rest is this file, completed with a duration and an index. */
async function expectRest(file: readonly number[]): Promise<void> {
  const expected = new Blob(seekable([bytes(...file)]));
  expect(expected.size).toBeGreaterThan(file.length);
  expect(await rest?.arrayBuffer()).toEqual(await expected.arrayBuffer());
}

/** Lets time pass for everything that is waiting. */
async function pass(milliseconds: number): Promise<void> {
  for (let passed = 0; passed < milliseconds; passed += 500) {
    await settled();
    clock.advance(500);
  }
  await settled();
}

test('pieces go one after the other, and it is finished when all are there', async () => {
  const upload = await begun();
  await upload.write([bytes(1, 2)]);
  await upload.write([bytes(3), bytes(4, 5)]);
  await upload.close();
  expect([server.stored, server.finished]).toEqual([[1, 2, 3, 4, 5], 1]);
  expect([told, rest]).toEqual([[], undefined]);
});

test('over a lost answer and a server that is away it goes on, each byte once', async () => {
  const upload = await begun();
  server.troubles.push('lost', 'away', [502, 'UNAVAILABLE'], [503, 'DRAINING'], [429, 'TOO_MANY_ATTEMPTS']);
  server.troubles.push([409, 'PIECE_REPLACED']);
  await upload.write([bytes(1, 2, 3)]);
  await upload.write([bytes(4)]);
  await pass(60_000);
  await upload.write([bytes(5)]);
  await upload.close();
  expect(server.stored).toEqual([1, 2, 3, 4, 5]);
  expect(told).toEqual(['behind', 'caught up']);
});

test.each([
  [507, 'STORAGE_FULL', 'upload_full'],
  [507, 'QUOTA_EXCEEDED', 'upload_full'],
  [413, 'RECORDING_TOO_LARGE', 'upload_limit'],
  [409, 'RECORDING_OVER', 'upload_lost'],
  [403, 'UPLOAD_INVALID', 'upload_lost'],
])('%i %s: the rest stays here, and can be played by itself', async (status, code, expected) => {
  const upload = await begun();
  // The second cluster starts with a key frame, so the rest starts there although the server already has it.
  const pieces = [
    [...HEAD, ...cluster(block({ key: true }))],
    cluster(block({}), block({ key: true })),
    cluster(block({})),
  ];
  for (const piece of pieces) {
    await upload.write([bytes(...piece)]);
    await settled();
  }
  server.troubles.push([status, code]);
  await upload.write([bytes(...cluster(block({})))]);
  await settled();
  expect(told).toEqual([expected]);
  // The file on the server is finished; nothing more is sent.
  expect(server.finished).toBe(1);
  await upload.write([bytes(4)]);
  await upload.close();
  expect(server.stored).toEqual(pieces.flat());
  await expectRest([...HEAD, ...pieces.slice(1).flat(), ...cluster(block({})), 4]);
});

test('where the picture does not begin anew for long, the rest begins where it does', async () => {
  // A server that keeps no data, as there is much of it.
  const send: Send = (url, { method, body }) => {
    const offset = Number(new URL(url).searchParams.get('offset'));
    const data = { id: 'id', upload: 'an upload secret', length: offset + (body as Blob).size };
    return Promise.resolve(method === 'PUT' ? (server.troubles.shift() ?? data) : data).then((answered) =>
      Array.isArray(answered)
        ? answer(answered[0], { code: answered[1] })
        : answer(200, { code: 'SUCCESS', data: answered }),
    );
  };
  way = { ...way, send };
  const upload = await begun();
  const large = new Uint8Array(5 * 1024 ** 2).fill(0xa3);
  await upload.write([bytes(...HEAD, ...cluster(block({ key: true })))]);
  await upload.write([bytes(...block({ size: large.length }).slice(0, -large.length)), large]);
  await pass(2_000);
  server.troubles.push([507, 'STORAGE_FULL']);
  const fresh = cluster(block({ key: true }));
  await upload.write([bytes(...cluster(block({}))), bytes(...fresh)]);
  await upload.close();
  await expectRest([...HEAD, ...fresh]);
});

test('where the server takes nothing at all, the whole file is here', async () => {
  const upload = await begun();
  server.troubles.push([507, 'STORAGE_FULL']);
  const file = [...HEAD, ...cluster(block({})), ...cluster(block({ key: true }))];
  await upload.write([bytes(...file)]);
  await upload.close();
  await expectRest(file);
});

test('a server that stays away at the end is not waited for for ever', async () => {
  const upload = await begun();
  server.troubles.push(...Array.from({ length: 100 }, () => 'away' as const));
  await upload.write([bytes(1)]);
  const closed = upload.close();
  await pass(40_000);
  await closed;
  expect(told).toEqual(['upload_lost']);
  expect(rest?.size).toBe(1);
});

test('neither what waits nor what stays here is without a bound', async () => {
  const upload = await begun(100 * 1024 ** 2);
  server.troubles.push(...Array.from({ length: 100 }, () => 'away' as const));
  await upload.write([new Uint8Array(64 * 1024 ** 2)]);
  expect(told).toEqual([]);
  await upload.write([bytes(1)]);
  expect(told).toEqual(['upload_lost']);
  await upload.write([new Uint8Array(40 * 1024 ** 2)]);
  expect(told).toEqual(['upload_lost', 'full']);
});

test('a server that has lost what it had gets no file with a hole', async () => {
  const upload = await begun();
  await upload.write([bytes(1, 2, 3)]);
  await settled();
  server.stored = [1];
  await upload.write([bytes(4)]);
  await settled();
  expect(told).toEqual(['upload_lost']);
  expect(server.stored).toEqual([1]);
});

test.each([
  [503, 'TOO_MANY_RECORDINGS', 'upload_refused'],
  [403, 'HOSTS_ONLY', 'upload_refused'],
  [507, 'QUOTA_EXCEEDED', 'upload_no_room'],
  [507, 'STORAGE_FULL', 'upload_no_room'],
])('a server that takes none says so before it begins: %i %s', async (status, code, expected) => {
  server.troubles.push([status, code]);
  await expect(begun()).rejects.toThrow(expected);
});

test('what waits for long is told, until it has arrived', async () => {
  const upload = await begun();
  server.troubles.push(...Array.from({ length: 4 }, () => 'away' as const));
  for (let second = 0; second < 30; second += 1) {
    await upload.write([bytes(second)]);
    await pass(1_000);
  }
  expect(told).toEqual(['behind', 'caught up']);
  expect(server.stored).toHaveLength(30);
});

test('a line that is too slow for a piece gets smaller ones, and larger ones when it is quick', async () => {
  const upload = await begun();
  server.troubles.push([400, 'BODY_INVALID'], [400, 'BODY_INVALID'], [502, '']);
  await upload.write([new Uint8Array(3 * 1024 ** 2)]);
  await pass(20_000);
  expect(server.stored).toHaveLength(3 * 1024 ** 2);
  const sizes = server.sizes.map((size) => size / 1024);
  expect(sizes.slice(0, 6)).toEqual([1024, 512, 256, 128, 256, 512]);
});

test('at the end the server is waited for as long as it takes something', async () => {
  const upload = await begun();
  // It accepts a chunk now and then, the last one long after the closing timeout.
  const badly = ['away', 'away', 'away', 'none'] as const;
  server.troubles.push(...Array.from({ length: 20 }, () => badly).flat());
  await upload.write([new Uint8Array(1024 ** 2)]);
  const closed = upload.close();
  await pass(300_000);
  await closed;
  expect([told.filter((each) => each.startsWith('upload')), rest]).toEqual([[], undefined]);
  expect(server.stored).toHaveLength(1024 ** 2);
  expect(left.at(0)).toBe(1024 ** 2);
  expect(left.at(-1)).toBeLessThan(1024 ** 2);
});

test('who is before the door learns that it is recorded, where the server can', async () => {
  expect(await isRecorded(way)).toBe(false);
  server.recorded = true;
  expect(await isRecorded(way)).toBe(true);
  server.features = [];
  server.asked.length = 0;
  expect(await isRecorded(way)).toBe(false);
  // Nothing is asked about a room that cannot be recorded.
  expect(server.asked).toEqual(['GET welcome']);
  server.troubles.push('away');
  expect(await isRecorded(way)).toBe(false);
});
