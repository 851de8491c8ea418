import { beforeEach, expect, test } from 'vitest';
import { ScreenShare } from './screen';
import { FakeDevices } from './testing/devices';

const off = { available: true, on: false, pending: false };

let devices: FakeDevices;
let share: ScreenShare;

beforeEach(() => {
  devices = new FakeDevices();
  share = new ScreenShare(devices);
});

function failure(name: string, message: string): Error {
  return Object.assign(new Error(message), { name });
}

test('shares picture and sound, until it is ended', async () => {
  await share.set(true);
  const [screen, screenSound] = devices.tracks;
  expect(share.view).toMatchObject({ on: true, pending: false });
  expect(share.tracks).toEqual({ screen, screenSound });
  await share.set(false);
  expect(share.view).toEqual(off);
  expect(share.tracks).toEqual({ screen: null, screenSound: null });
  expect(devices.tracks.map(({ stopped }) => stopped)).toEqual([true, true]);
});

test("the browser's own stop button ends it, sound too", async () => {
  await share.set(true);
  let changes = 0;
  share.events.on('change', () => (changes += 1));
  devices.tracks[0]?.onended?.();
  expect([share.view, changes]).toEqual([off, 1]);
  expect(devices.tracks[1]?.stopped).toBe(true);
});

test('asks once, however often the button is pressed', async () => {
  const answer = devices.hold();
  const asked = [share.set(true), share.set(true)];
  expect(share.view.pending).toBe(true);
  answer();
  await Promise.all(asked);
  await share.set(true);
  expect(devices.asked).toHaveLength(1);
});

test('what is chosen after the end is ended at once', async () => {
  const answer = devices.hold();
  const asked = share.set(true);
  share.close();
  answer();
  await asked;
  expect(share.view).toEqual(off);
  expect(devices.tracks.map(({ stopped }) => stopped)).toEqual([true, true]);
});

test('to choose nothing is no failure', async () => {
  devices.failure = failure('NotAllowedError', 'Permission denied');
  await share.set(true);
  expect(share.view).toEqual(off);
});

test.each([
  ['NotAllowedError', 'Permission denied by system'],
  ['NotReadableError', 'Could not start video source'],
])('%s: %s is one, which goes with the next attempt', async (name, message) => {
  devices.failure = failure(name, message);
  await share.set(true);
  expect(share.view).toMatchObject({ on: false, failure: { code: 'screen_failed' } });
  devices.failure = undefined;
  await share.set(true);
  expect(share.view).toMatchObject({ on: true });
  expect(share.view).not.toHaveProperty('failure');
});

test('no echo: the sound of the whole system only without what this page plays', async () => {
  await share.set(true);
  expect(devices.asked[0]).toMatchObject({ systemAudio: 'exclude', selfBrowserSurface: 'exclude' });
  share.close();
  devices.supported = { restrictOwnAudio: true };
  await share.set(true);
  expect(devices.asked[1]).toMatchObject({ systemAudio: 'include', audio: { restrictOwnAudio: true } });
});

test('a telephone cannot share', async () => {
  const phone = new ScreenShare(undefined);
  await phone.set(true);
  expect(phone.view).toEqual({ available: false, on: false, pending: false });
});
