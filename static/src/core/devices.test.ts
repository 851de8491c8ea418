import { beforeEach, describe, expect, test } from 'vitest';
import { camera, cameraSize, type Device, microphone } from './devices';
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

  test('a browser that gives no devices is asked for none', async () => {
    const device = microphone('insecure_context');
    await device.set(true);
    expect(device.view).toMatchObject({ on: false, failure: { code: 'insecure_context' } });
  });

  test('what the operating system blocks is no decision of the person', async () => {
    devices.failure = new DOMException('Permission denied by system', 'NotAllowedError');
    await cam.set(true);
    expect(cam.view).toMatchObject({ on: false, failure: { code: 'device_blocked' } });
  });
});

describe('an open device that goes away', () => {
  beforeEach(() => {
    devices.list = ['desk', 'head'].flatMap((deviceId) => [
      { kind: 'audioinput', deviceId, label: deviceId },
      { kind: 'videoinput', deviceId, label: deviceId },
    ]);
  });

  test('gives its place to the next one, and says so', async () => {
    await mic.set(true);
    devices.list = devices.list.slice(2);
    track(mic)?.unplug();
    await settled();
    expect(track(mic)).toBe(devices.tracks[1]);
    expect(mic.view).toEqual({
      on: true,
      pending: false,
      id: 'head',
      failure: { code: 'device_replaced' },
    });
  });

  test('is opened again where it was away for a moment only', async () => {
    await mic.set(true);
    track(mic)?.unplug();
    await settled();
    expect(track(mic)).toBe(devices.tracks[1]);
    expect(mic.view).toEqual({ on: true, pending: false, id: 'desk' });
  });

  test('leaves a muted microphone muted', async () => {
    await mic.set(true);
    await mic.set(false);
    track(mic)?.unplug();
    await settled();
    expect([mic.view.on, track(mic)?.enabled]).toEqual([false, false]);
  });

  test('without another one is off, and can be turned on again', async () => {
    await cam.set(true);
    const all = devices.list;
    devices.list = all.filter(({ kind }) => kind !== 'videoinput');
    track(cam)?.unplug();
    await settled();
    expect(cam.track).toBeNull();
    expect(cam.view).toMatchObject({ on: false, failure: { code: 'device_unplugged' } });
    devices.list = all;
    await cam.set(true);
    expect(cam.view).toEqual({ on: true, pending: false, id: 'desk' });
  });

  test('one after the other is not tried for ever', async () => {
    await cam.set(true);
    for (let times = 0; times < 5; times++) {
      track(cam)?.unplug();
      await settled();
    }
    expect(cam.view).toMatchObject({ on: false, failure: { code: 'device_failed' } });
    expect(devices.asked).toHaveLength(5);
  });

  test('in its sleep is found out afterwards', async () => {
    await cam.set(true);
    cam.recheck();
    expect(devices.asked).toHaveLength(1);
    const lost = track(cam);
    if (lost) lost.stopped = true;
    cam.recheck();
    await settled();
    expect(devices.asked).toHaveLength(2);
    expect(cam.view).toEqual({ on: true, pending: false, id: 'desk' });
  });
});

describe('a device whose source gives nothing', () => {
  test('says so until it gives again', async () => {
    await mic.set(true);
    track(mic)?.onmute?.();
    expect(mic.view).toMatchObject({ on: true, failure: { code: 'device_paused' } });
    track(mic)?.onunmute?.();
    expect(mic.view).toEqual({ on: true, pending: false });
  });

  test('from the first moment says so, too', async () => {
    devices.muted = true;
    await cam.set(true);
    expect(cam.view).toMatchObject({ on: true, failure: { code: 'device_paused' } });
    track(cam)?.onunmute?.();
    expect(cam.view).toEqual({ on: true, pending: false });
  });

  test('is opened anew when it is tried again', async () => {
    await mic.set(true);
    const before = track(mic);
    if (before) before.muted = true;
    await mic.set(true);
    expect(track(mic)).not.toBe(before);
    expect(before?.stopped).toBe(true);
  });
});

describe('choosing', () => {
  const exact = (index: number): unknown => {
    const video = devices.asked[index]?.video;
    return typeof video === 'object' ? video.deviceId : undefined;
  };

  beforeEach(() => {
    devices.list = ['front', 'back'].map((deviceId) => ({ kind: 'videoinput', deviceId, label: deviceId }));
  });

  test('a closed device opens nothing, and is opened later', async () => {
    await cam.choose('back');
    expect(devices.asked).toEqual([]);
    await cam.set(true);
    expect(exact(0)).toEqual({ exact: 'back' });
    expect(cam.view).toEqual({ on: true, pending: false, id: 'back' });
  });

  test('an open device is exchanged: first closed, never seen as off', async () => {
    await cam.set(true);
    const before = track(cam);
    const seen: boolean[] = [];
    cam.events.on('change', () => seen.push(cam.view.on && cam.track !== null));
    await cam.choose('back');
    expect(before?.stopped).toBe(true);
    expect(track(cam)?.deviceId).toBe('back');
    expect(seen).toEqual([true, true]);
  });

  test('keeps a muted microphone muted', async () => {
    devices.list = ['desk', 'head'].map((deviceId) => ({ kind: 'audioinput', deviceId, label: deviceId }));
    await mic.set(true);
    await mic.set(false);
    await mic.choose('head');
    expect(mic.view).toEqual({ on: false, pending: false, id: 'head' });
    expect(track(mic)?.enabled).toBe(false);
    await mic.set(true);
    expect(track(mic)?.enabled).toBe(true);
  });

  test('one that is not here today takes another', async () => {
    await cam.choose('gone');
    await cam.set(true);
    expect(cam.view).toEqual({ on: true, pending: false, id: 'front' });
  });

  test('one that is busy says so, and the other can be chosen again', async () => {
    await cam.set(true);
    devices.failure = new DOMException('busy', 'NotReadableError');
    await cam.choose('back');
    expect(cam.track).toBeNull();
    expect(cam.view).toMatchObject({ on: false, pending: false, failure: { code: 'device_busy' } });
    devices.failure = undefined;
    await cam.choose('front');
    await cam.set(true);
    expect(cam.view).toEqual({ on: true, pending: false, id: 'front' });
  });

  test('off meanwhile wins', async () => {
    await cam.set(true);
    const answer = devices.hold();
    const choosing = cam.choose('back');
    await cam.set(false);
    answer();
    await choosing;
    expect(cam.track).toBeNull();
    expect(devices.tracks.every(({ stopped }) => stopped)).toBe(true);
  });
});

describe('the cameras of a phone', () => {
  const facing = (index: number): unknown => {
    const video = devices.asked[index]?.video;
    return typeof video === 'object' ? video.facingMode : undefined;
  };

  beforeEach(() => {
    devices.list = ['user', 'environment'].map((deviceId) => ({
      kind: 'videoinput',
      deviceId,
      label: deviceId,
    }));
    devices.phone = true;
  });

  test('are exchanged, there and back', async () => {
    await cam.set(true);
    expect(cam.view).toMatchObject({ on: true, facing: 'user' });
    const seen: unknown[] = [];
    cam.events.on('change', () => seen.push(cam.view.on));
    await cam.flip();
    expect(cam.view).toEqual({ on: true, pending: false, id: 'environment', facing: 'environment' });
    await cam.flip();
    expect(cam.view).toMatchObject({ id: 'user', facing: 'user' });
    expect([facing(0), facing(1), facing(2)]).toEqual(['user', 'environment', 'user']);
    expect(seen).not.toContain(false);
  });

  test('one that was chosen gives way, and one that is off is not opened', async () => {
    await cam.choose('user');
    await cam.set(true);
    await cam.flip();
    expect(cam.view.id).toBe('environment');
    await cam.set(false);
    await cam.flip();
    expect(devices.asked).toHaveLength(2);
    await cam.set(true);
    expect(cam.view.id).toBe('user');
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

test('another quality is asked of an open camera, and of the next one', async () => {
  await cam.set(true);
  const asked: MediaTrackConstraints[] = [];
  Object.assign(cam.track ?? {}, {
    applyConstraints: (constraints: MediaTrackConstraints) => {
      asked.push(constraints);
      return Promise.reject(new DOMException('no', 'OverconstrainedError'));
    },
  });
  await cam.refine(cameraSize('high'));
  expect(asked).toMatchObject([{ height: { ideal: 720 }, frameRate: { ideal: 30 } }]);
  expect(cam.view.on).toBe(true);
  await cam.set(false);
  await cam.set(true);
  expect(devices.asked.at(-1)).toMatchObject({ video: { width: { ideal: 1280 }, facingMode: 'user' } });
  await cam.set(false);
  await cam.refine(cameraSize('saver'));
  await cam.set(true);
  expect(devices.asked.at(-1)).toMatchObject({ video: { width: { ideal: 640 } } });
});
