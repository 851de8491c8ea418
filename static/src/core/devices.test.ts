import { beforeEach, describe, expect, test } from 'vitest';
import { camera, type Device, type MediaDevicesLike, microphone } from './devices';
import { settled } from './testing/clock';
import { FakeDevices } from './testing/devices';
import type { FakeTrack } from './testing/rtc';

let devices: FakeDevices;
let mic: Device;
let cam: Device;

beforeEach(() => {
  devices = new FakeDevices();
  mic = microphone(devices);
  cam = camera(devices);
});

function track(device: Device): FakeTrack | null {
  return device.track as unknown as FakeTrack | null;
}

test('each device is opened by itself', async () => {
  await mic.set(true);
  expect(mic.view).toEqual({ on: true, pending: false });
  expect(cam.view).toEqual({ on: false, pending: false });
  await cam.set(true);
  expect(devices.asked.map((constraints) => Object.keys(constraints))).toEqual([['audio'], ['video']]);
});

test('the microphone is muted by silence and keeps its track', async () => {
  await mic.set(true);
  const before = track(mic);
  await mic.set(false);
  expect(mic.view.on).toBe(false);
  expect([before?.enabled, before?.stopped]).toEqual([false, false]);
  await mic.set(true);
  expect(track(mic)).toBe(before);
  expect(before?.enabled).toBe(true);
  expect(devices.asked).toHaveLength(1);
});

test('the camera is closed, so that its light goes out, and opened again', async () => {
  await cam.set(true);
  const before = track(cam);
  await cam.set(false);
  expect(before?.stopped).toBe(true);
  expect(cam.track).toBeNull();
  await cam.set(true);
  expect(track(cam)).not.toBe(before);
});

describe('failures', () => {
  test.each([
    ['NotAllowedError', 'permission_denied'],
    ['SecurityError', 'permission_denied'],
    ['NotFoundError', 'no_device'],
    ['OverconstrainedError', 'no_device'],
    ['NotReadableError', 'device_busy'],
    ['AbortError', 'device_failed'],
    ['TypeError', 'device_failed'],
  ])('%s is %s, and the next try may succeed', async (name, code) => {
    devices.failure = new DOMException('no', name);
    await cam.set(true);
    expect(cam.view).toMatchObject({ on: false, pending: false, failure: { code } });
    devices.failure = undefined;
    await cam.set(true);
    expect(cam.view).toEqual({ on: true, pending: false });
  });

  test('an insecure context has no devices', async () => {
    const device = microphone(undefined as MediaDevicesLike | undefined);
    await device.set(true);
    expect(device.view).toMatchObject({ on: false, failure: { code: 'insecure_context' } });
  });

  test('a device that is unplugged is off, and can be turned on again', async () => {
    await mic.set(true);
    track(mic)?.onended?.();
    expect(mic.track).toBeNull();
    expect(mic.view).toMatchObject({ on: false, failure: { code: 'device_failed' } });
    await mic.set(true);
    expect(mic.view).toEqual({ on: true, pending: false });
  });
});

describe('while the browser asks', () => {
  test('it is pending, and asked once', async () => {
    const answer = devices.hold();
    const first = cam.set(true);
    const second = cam.set(true);
    expect(cam.view).toEqual({ on: false, pending: true });
    answer();
    await Promise.all([first, second]);
    expect(cam.view).toEqual({ on: true, pending: false });
    expect(devices.asked).toHaveLength(1);
  });

  test.each(['off', 'close'])('%s meanwhile wins, and no light stays on', async (how) => {
    const answer = devices.hold();
    const opening = cam.set(true);
    if (how === 'off') await cam.set(false);
    else cam.close();
    expect(cam.view).toEqual({ on: false, pending: false });
    answer();
    await opening;
    await settled();
    expect(cam.track).toBeNull();
    expect(devices.tracks.every(({ stopped }) => stopped)).toBe(true);
  });

  test('off and on again meanwhile ends on, with one open device', async () => {
    const answer = devices.hold();
    const first = cam.set(true);
    await cam.set(false);
    const second = cam.set(true);
    answer();
    await Promise.all([first, second]);
    expect(cam.view).toEqual({ on: true, pending: false });
    expect(devices.tracks.filter(({ stopped }) => !stopped)).toHaveLength(1);
  });
});

test('letting go closes a muted microphone too', async () => {
  await mic.set(true);
  await mic.set(false);
  mic.close();
  expect(devices.tracks.every(({ stopped }) => stopped)).toBe(true);
});
