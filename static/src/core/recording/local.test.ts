import { beforeEach, expect, test, vi } from 'vitest';
import { MEMORY_BYTES } from '../chat/save';
import { FakeClock, settled } from '../testing/clock';
import { FakeStore } from '../testing/files';
import { FakeTrack } from '../testing/rtc';
import { FakeStudio } from '../testing/studio';
import { addressOf } from '../address';
import { LocalRecording } from './local';
import type { RecordingServer, Send } from './server';

const own = new FakeTrack('audio') as unknown as MediaStreamTrack;
const scene = () => ({ tiles: [], sounds: [] });

let studio: FakeStudio;
let store: FakeStore;
let problems: unknown[];
let changes: number;
let way: RecordingServer | undefined;

beforeEach(() => {
  studio = new FakeStudio();
  store = new FakeStore();
  problems = [];
  changes = 0;
  way = undefined;
});

function make(): LocalRecording {
  return new LocalRecording({
    room: 'stand/up',
    store,
    ability: studio,
    clock: new FakeClock(),
    server: () => way && { way, resume: 'a secret' },
    ownSound: () => [own, null],
    onChange: () => (changes += 1),
    report: (problem) => problems.push(problem),
  });
}

async function started(): Promise<LocalRecording> {
  const recording = make();
  await recording.start(scene);
  return recording;
}

test('from the wish to the file, with one’s own sound', async () => {
  const recording = await started();
  expect(recording.view).toMatchObject({ state: 'on', since: 1_000_000 });
  expect(recording.on).toBe(true);
  expect([...studio.heard]).toEqual([own]);
  studio.piece(10);
  recording.stop();
  expect(recording.view).toEqual({ state: 'saving' });
  expect(recording.on).toBe(false);
  studio.encoder?.onEnd();
  await settled();
  expect(recording.view).toBeUndefined();
  expect(store.saved).toMatchObject([
    { name: expect.stringMatching(/^stand_up [\d-]+ [\d.]+\.webm$/) as string },
  ]);
  expect(store.saved[0]?.bytes).toHaveLength(10);
  // It can record again.
  await recording.start(scene);
  expect(recording.on).toBe(true);
});

test('the best kind of file that the browser can make', async () => {
  studio.mimes = ['video/webm', 'video/mp4;codecs=avc1.42E01F,opus', 'video/webm;codecs=vp8,opus'];
  const recording = await started();
  recording.stop();
  studio.encoder?.onEnd();
  await settled();
  expect(store.saved[0]?.name).toMatch(/\.mp4$/);
});

test('whoever closes the dialog has asked for nothing', async () => {
  store.answer = 'no';
  const recording = await started();
  expect(recording.view).toBeUndefined();
  expect(studio.encoder).toBeUndefined();
  expect(problems).toEqual([]);
});

test('a meeting that ends while the person is asked is not recorded', async () => {
  const recording = make();
  const asked = recording.start(scene);
  recording.stop();
  expect(recording.view).toBeUndefined();
  await asked;
  expect(studio.encoder).toBeUndefined();
  expect(store.aborted).toBe(1);
});

test('what goes wrong has a code, until it is dismissed or tried again', async () => {
  studio.mimes = [];
  const none = make();
  await none.start(scene);
  expect(none.view).toEqual({ state: 'failed', failure: { code: 'recording_unsupported' } });
  none.dismiss();
  expect(none.view).toBeUndefined();

  studio = new FakeStudio();
  store.answer = 'broken';
  const recording = await started();
  expect(recording.view).toEqual({ state: 'failed', failure: { code: 'recording_failed' } });
  store.answer = 'yes';
  vi.spyOn(studio, 'load').mockRejectedValueOnce(new Error('gone'));
  await recording.start(scene);
  expect(recording.view).toEqual({ state: 'failed', failure: { code: 'recording_failed' } });
  expect(store.aborted).toBe(1);
  expect(problems).toHaveLength(2);

  await recording.start(scene);
  store.limit = 5;
  studio.piece(6);
  await settled();
  studio.encoder?.onEnd();
  await settled();
  expect(recording.view).toEqual({ state: 'failed', failure: { code: 'recording_failed' } });
});

test('a browser that falsifies what is drawn is found out before anything is recorded', async () => {
  studio.faithful = false;
  const recording = await started();
  expect(recording.view).toEqual({ state: 'failed', failure: { code: 'recording_falsified' } });
  expect([studio.encoder, store.aborted, store.saved.length]).toEqual([undefined, 1, 0]);
});

test('to a server that takes none, nothing begins', async () => {
  const recording = make();
  await recording.start(scene, 'server');
  expect(recording.view).toEqual({ state: 'failed', failure: { code: 'upload_refused' } });
  expect([recording.sign, studio.encoder]).toEqual([false, undefined]);
});

test('what the server takes goes there, is told as such until it is there, and stays here where it takes no more', async () => {
  studio.mimes = ['video/mp4;codecs=avc1.42E01F,opus', 'video/webm'];
  let full = false;
  const send: Send = (url) => {
    const put = url.includes('offset') && !url.includes('/finish');
    const data = put ? { length: 10 } : { id: 'i', upload: 'u' };
    const envelope = put && full ? { code: 'STORAGE_FULL' } : { code: 'SUCCESS', data };
    return Promise.resolve({
      status: put && full ? 507 : 200,
      text: () => Promise.resolve(JSON.stringify(envelope)),
    });
  };
  way = { address: addressOf('https://meet.example/r/x', '../'), room: 'x', send, clock: new FakeClock() };
  const recording = make();
  await recording.start(scene, 'server');
  expect(recording.view).toMatchObject({ state: 'on', place: 'server' });
  expect(recording.sign).toBe(false);
  studio.piece(10);
  await settled();
  full = true;
  studio.piece(5);
  await settled();
  expect(recording.view).toMatchObject({ state: 'on', place: 'device', trouble: { code: 'upload_full' } });
  expect(recording.sign).toBe(true);
  recording.stop();
  studio.encoder?.onEnd();
  await settled();
  expect(recording.view).toBeUndefined();
  expect(store.downloads).toMatchObject([{ name: expect.stringMatching(/\.webm$/) as string }]);
  expect(store.saved).toEqual([]);
});

test('only memory has a limit', () => {
  expect(make().limit).toBe(Infinity);
  store.largest = 1_000;
  expect(make().limit).toBe(MEMORY_BYTES);
});
