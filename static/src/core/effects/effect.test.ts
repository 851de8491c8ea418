import { beforeEach, expect, test } from 'vitest';
import { type Device, microphone } from '../devices';
import { settled } from '../testing/clock';
import { FakeDevices } from '../testing/devices';
import { Effect } from './effect';
import type { TrackFilter } from './types';

interface FakeFilter extends TrackFilter {
  readonly source: MediaStreamTrack;
  closed: boolean;
}

let device: Device;
let effect: Effect;
let filters: FakeFilter[];
let failure: Error | undefined;
let held: Promise<void>;
let changes: number;

beforeEach(() => {
  device = microphone(new FakeDevices());
  filters = [];
  failure = undefined;
  held = Promise.resolve();
  changes = 0;
  effect = new Effect({
    device,
    open: async (source) => {
      await held;
      if (failure) throw failure;
      const track = { of: source } as unknown as MediaStreamTrack;
      const filter: FakeFilter = { source, track, closed: false, close: () => (filter.closed = true) };
      filters.push(filter);
      return filter;
    },
    onChange: () => (changes += 1),
  });
});

/** Delays the filter until the returned function is called. */
function hold(): () => void {
  let release = (): void => undefined;
  held = new Promise((resolve) => {
    release = resolve;
  });
  return release;
}

test('off, the track of the device goes out; on, the filtered one, as soon as there is one', async () => {
  await device.set(true);
  expect(effect.track).toBe(device.track);
  const release = hold();
  effect.set(true);
  expect([effect.view, effect.track]).toEqual([{ on: true, pending: true }, device.track]);
  release();
  await settled();
  expect([effect.view, effect.track]).toEqual([{ on: true, pending: false }, filters[0]?.track]);

  const before = changes;
  effect.set(false);
  expect([effect.track, filters[0]?.closed]).toEqual([device.track, true]);
  expect(changes).toBeGreaterThan(before);
});

test('turned on before the device, and over another one', async () => {
  effect.set(true);
  expect([effect.view, effect.track]).toEqual([{ on: true, pending: false }, null]);
  await device.set(true);
  await settled();
  expect(effect.track).toBe(filters[0]?.track);
  // Muting does not change the track.
  await device.set(false);
  expect([effect.track, filters.length]).toEqual([filters[0]?.track, 1]);

  await device.choose('another');
  await settled();
  expect(filters.map(({ closed }) => closed)).toEqual([true, false]);
  expect(effect.track).toBe(filters[1]?.track);
  device.close();
  expect([effect.track, filters[1]?.closed]).toEqual([null, true]);
});

test('a filter that comes too late is closed', async () => {
  await device.set(true);
  const release = hold();
  effect.set(true);
  effect.set(false);
  release();
  await settled();
  expect([effect.track, effect.view.on, filters[0]?.closed]).toEqual([device.track, false, true]);
});

test('where it fails, it says so and the device goes on; the next try may succeed', async () => {
  await device.set(true);
  failure = new Error('no worklet');
  effect.set(true);
  await settled();
  expect(effect.track).toBe(device.track);
  expect(effect.view).toMatchObject({ on: false, failure: { code: 'effect_failed' } });
  failure = undefined;
  effect.set(true);
  await settled();
  expect(effect.view).toEqual({ on: true, pending: false });
  expect(effect.track).toBe(filters[0]?.track);
});
