import { beforeEach, expect, test } from 'vitest';
import { camera, type Device, microphone } from './devices';
import { Equipment, type LevelReader } from './equipment';
import { FakeClock, settled } from './testing/clock';
import { FakeDevices } from './testing/devices';

let clock: FakeClock;
let devices: FakeDevices;
let mic: Device;
let amplitude: number;
let readers: { closed: boolean }[];
let equipment: Equipment;

beforeEach(() => {
  clock = new FakeClock();
  devices = new FakeDevices();
  mic = microphone(devices);
  amplitude = 0.1;
  readers = [];
  equipment = new Equipment({
    media: devices,
    mic,
    camera: camera(devices),
    clock,
    newLevelReader: () => {
      const reader = { closed: false };
      readers.push(reader);
      return { read: () => amplitude, close: () => (reader.closed = true) };
    },
  });
});

const head = { kind: 'audioinput', deviceId: 'head', label: 'Headset' } as const;
const ears = { kind: 'audiooutput', deviceId: 'ears', label: 'Headset' } as const;
const webcam = { kind: 'videoinput', deviceId: 'webcam', label: 'Webcam' } as const;

test('the list follows the plugs', async () => {
  devices.plug([head, webcam, ears]);
  await settled();
  expect(equipment.choices).toEqual({
    mic: [{ id: 'head', label: 'Headset' }],
    camera: [{ id: 'webcam', label: 'Webcam' }],
    speaker: [{ id: 'ears', label: 'Headset' }],
  });
  devices.plug([]);
  await settled();
  expect(equipment.choices).toEqual({ mic: [], camera: [], speaker: [] });
});

test('before the permission browsers name no device; after it the list is made anew', async () => {
  devices.list = [{ ...head, deviceId: '', label: '' }];
  await settled();
  expect(equipment.choices.mic).toEqual([]);
  devices.list = [head];
  await mic.set(true);
  await settled();
  expect(equipment.choices.mic).toEqual([{ id: 'head', label: 'Headset' }]);
});

test('a speaker that is unplugged gives way to the system’s, and is taken again', async () => {
  devices.plug([ears]);
  await settled();
  await equipment.choose('speaker', 'ears');
  expect(equipment.speaker).toBe('ears');
  devices.plug([]);
  await settled();
  expect(equipment.speaker).toBe('');
  devices.plug([ears]);
  await settled();
  expect(equipment.speaker).toBe('ears');
});

test('the level is heard while someone watches and the microphone is on', async () => {
  const levels: number[] = [];
  const unwatch = equipment.watchLevel((level) => levels.push(level));
  expect(levels).toEqual([0]);
  expect(readers).toEqual([]);

  await mic.set(true);
  clock.advance(100);
  expect(levels.at(-1)).toBeGreaterThan(0.5);
  amplitude = 1;
  clock.advance(100);
  expect(levels.at(-1)).toBe(1);
  amplitude = 0;
  clock.advance(100);
  expect(levels.at(-1)).toBe(0);

  unwatch();
  expect([clock.waits, readers]).toEqual([[], [{ closed: true }]]);
});

test('another microphone has another reader', async () => {
  await mic.set(true);
  const unwatch = equipment.watchLevel(() => undefined);
  mic.close();
  await mic.set(true);
  clock.advance(100);
  expect(readers).toEqual([{ closed: true }, { closed: false }]);
  unwatch();
});

test('the amplitude is that of a microphone that is on; its reader goes with the device', async () => {
  expect(equipment.amplitude).toBeUndefined();
  await mic.set(true);
  expect(equipment.amplitude).toBe(0.1);
  await mic.set(false);
  expect(equipment.amplitude).toBeUndefined();
  expect(readers).toEqual([{ closed: false }]);
  mic.close();
  expect(readers).toEqual([{ closed: true }]);
});

test('a microphone that cannot be read is silent, and is read again', async () => {
  let broken = true;
  const { equipment: fragile, mic } = other(() => {
    if (broken) throw new DOMException('too many contexts', 'NotSupportedError');
    return { read: () => 0.5, close: () => undefined };
  });
  await mic.set(true);
  const heard: number[] = [];
  fragile.watchLevel((level) => heard.push(level));
  expect([fragile.amplitude, heard]).toEqual([0, [0]]);
  broken = false;
  clock.advance(100);
  expect(fragile.amplitude).toBe(0.5);
  expect(heard.at(-1)).toBeGreaterThan(0.5);
});

test('a second meeting in the page does not silence the first, until it ends', async () => {
  const { equipment: second } = other(() => ({ read: () => 0, close: () => undefined }));
  devices.plug([head]);
  await settled();
  expect([equipment.choices.mic.length, second.choices.mic.length]).toEqual([1, 1]);
  equipment.dispose();
  devices.plug([]);
  await settled();
  expect([equipment.choices.mic.length, second.choices.mic.length]).toEqual([1, 0]);
});

function other(newLevelReader: () => LevelReader): { equipment: Equipment; mic: Device } {
  const mic = microphone(devices);
  return {
    equipment: new Equipment({ media: devices, mic, camera: camera(devices), clock, newLevelReader }),
    mic,
  };
}
