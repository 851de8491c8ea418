import { expect, test } from 'vitest';
import type { MeetingView, Person, Role } from '../../core/types';
import { useStage } from './useStage';

const person = (id: string, role: Role): Person => ({
  id,
  name: id,
  role,
  mic: false,
  camera: false,
  speaking: false,
  hand: false,
  recording: false,
  recordsToServer: false,
  link: 'connected',
  resting: false,
  nameFromToken: false,
  away: false,
  stream: {} as MediaStream,
  screen: undefined,
});

/** Returns a host's stage, with these people in the room. */
function stageOf(...people: Person[]) {
  const screen = { available: true, on: false, pending: false };
  const view: Pick<MeetingView, 'people' | 'role' | 'screen'> = { people, role: 'host', screen };
  return useStage(() => view as MeetingView);
}

test('the speaker layout shows somebody large who has a tile, whoever came first', () => {
  const { layout, large } = stageOf(person('listens', 'listener'), person('speaks', 'participant'));
  layout.value = 'speaker';
  expect(large.value).toBe('speaks');
});

test('the local tile is an inset in a call of two, until something is pinned or a third one comes', () => {
  const two = stageOf(person('Grace', 'participant'));
  expect([two.inset.value, two.canPin.value]).toEqual(['self', false]);
  two.pin('self');
  expect([two.inset.value, two.canPin.value]).toEqual([undefined, true]);
  const three = stageOf(person('Grace', 'participant'), person('Alan', 'participant'));
  expect([three.inset.value, three.canPin.value]).toEqual([undefined, true]);
});

test('a single tile cannot be pinned', () => {
  const alone = stageOf();
  expect([alone.inset.value, alone.canPin.value]).toEqual([undefined, false]);
  const withListener = stageOf(person('listens', 'listener'));
  expect([withListener.inset.value, withListener.canPin.value]).toEqual([undefined, false]);
});

test('one’s own picture stays where only listeners are', () => {
  const alone = stageOf(person('listens', 'listener'));
  alone.selfHidden.value = true;
  expect(alone.tiles.value.map(({ key }) => key)).toEqual(['self']);
  const two = stageOf(person('listens', 'listener'), person('speaks', 'participant'));
  two.selfHidden.value = true;
  expect(two.tiles.value.map(({ key }) => key)).toEqual(['speaks']);
});
