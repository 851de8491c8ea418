import { beforeEach, expect, test } from 'vitest';
import type { FileSink } from '../chat/save';
import { settled } from '../testing/clock';
import { FakeStream, FakeTrack } from '../testing/rtc';
import { FakeStudio } from '../testing/studio';
import { block, clusterAt, HEAD } from '../testing/webm';
import { fitted } from './painter';
import { Recording, type RecordingEnd } from './recording';
import { seekable } from './seekable';
import type { Scene, SceneTile } from './types';

const MIB = 1024 ** 2;

let studio: FakeStudio;
let scene: Scene;
let ends: RecordingEnd[];
let disk: { written: number; kept: number; closed: boolean; aborted: boolean; room: number };

const track = (): MediaStreamTrack => new FakeTrack('audio') as unknown as MediaStreamTrack;
const stream = (): MediaStream => new FakeStream([]) as unknown as MediaStream;

function tile(name: string, picture?: MediaStream): SceneTile {
  const place = { x: 0, y: 0, width: 640, height: 360 };
  const about = { key: name, name, initials: name.slice(0, 1), hue: 30 };
  return { ...about, place, picture, whole: false, muted: false, speaking: false };
}

const sink: FileSink = {
  write: (pieces) => {
    for (const { length } of pieces) disk.written += length;
    if (disk.written > disk.room) return Promise.reject(new DOMException('full', 'QuotaExceededError'));
    return Promise.resolve();
  },
  keep: (kept) => {
    disk.kept = disk.written;
    kept();
    return Promise.resolve();
  },
  // A failed stream cannot be closed (Streams §5.2.4).
  close: () => {
    disk.closed = disk.written <= disk.room;
    return disk.closed ? Promise.resolve() : Promise.reject(new TypeError('errored'));
  },
  abort: () => {
    disk.aborted = true;
  },
};

function begin(limit = Infinity): Recording {
  return new Recording({
    studio,
    mime: 'video/webm',
    sink,
    limit,
    scene: () => scene,
    onEnd: (end) => ends.push(end),
  });
}

beforeEach(() => {
  studio = new FakeStudio();
  scene = { tiles: [], sounds: [] };
  ends = [];
  disk = { written: 0, kept: 0, closed: false, aborted: false, room: Infinity };
});

test('who comes and goes, and a device that is exchanged, are in it', () => {
  const [voice, other, face, screen] = [track(), track(), stream(), stream()];
  scene = { tiles: [tile('Ada', face)], sounds: [voice] };
  begin();
  expect(studio.drawn).toEqual([face, 'Ada']);
  expect([...studio.heard]).toEqual([voice]);

  scene = { tiles: [tile('Ada', face), tile('Zoe', screen)], sounds: [other] };
  studio.tick();
  expect([...studio.heard]).toEqual([other]);
  expect([...studio.watched]).toEqual([face, screen]);

  studio.drawn = [];
  scene = { tiles: [tile('Zoe')], sounds: [] };
  studio.tick();
  // Without a picture: the initial and the name.
  expect(studio.drawn).toEqual(['Z', 'Zoe']);
  expect(studio.watched.size + studio.heard.size).toBe(0);
});

test('everything is written before it is saved, and let go', async () => {
  const recording = begin();
  studio.piece(1_000);
  recording.stop();
  recording.stop();
  expect(studio.stops).toBe(1);
  // The last chunk arrives after the request to stop.
  studio.piece(500);
  studio.encoder?.onEnd();
  await settled();
  expect(disk).toMatchObject({ written: 1_500, closed: true, aborted: false });
  expect(ends).toEqual(['saved']);
  expect(studio.open).toBe(0);
});

test('a WebM on this device gets a duration when it is complete, and other files stay as they are', async () => {
  const source = Uint8Array.from([...HEAD, ...clusterAt(0, block({ key: true }), block({ at: 900 }))]);
  for (const mime of ['video/webm;codecs=vp8,opus', 'video/mp4']) {
    let file: number[] = [];
    const memory: FileSink = {
      ...sink,
      write: (pieces) => {
        for (const piece of pieces) file.push(...piece);
        return Promise.resolve();
      },
      replaceStart: (bytes) => {
        file = [...bytes, ...file.slice(bytes.length)];
        return Promise.resolve();
      },
    };
    new Recording({
      studio,
      mime,
      sink: memory,
      limit: Infinity,
      scene: () => scene,
      onEnd: (end) => ends.push(end),
    });
    for (const piece of [source.slice(0, 30), source.slice(30)]) studio.encoder?.onPiece(new Blob([piece]));
    studio.encoder?.onEnd();
    await settled();
    const isWebm = mime.startsWith('video/webm');
    expect(file).toEqual(isWebm ? seekable([source]).flatMap((part) => [...part]) : [...source]);
  }
  expect(ends).toEqual(['saved', 'saved']);
});

test('it ends by itself at the largest size, whole', async () => {
  begin(2_000);
  studio.piece(1_500);
  expect(studio.stops).toBe(0);
  studio.piece(600);
  expect(studio.stops).toBe(1);
  studio.piece(100);
  studio.encoder?.onEnd();
  await settled();
  expect(disk).toMatchObject({ written: 2_200, closed: true });
  expect(ends).toEqual(['limit']);
});

test('a disk that is full leaves what was kept; without that, nothing', async () => {
  disk.room = 30 * MIB;
  begin();
  for (let megabytes = 0; megabytes < 31; megabytes++) {
    studio.piece(MIB);
    await settled();
  }
  expect(studio.stops).toBe(1);
  studio.encoder?.onEnd();
  await settled();
  expect(disk).toMatchObject({ kept: 24 * MIB, closed: false, aborted: true });
  expect(ends).toEqual(['cut']);

  disk = { ...disk, written: 0, kept: 0, room: 10 };
  begin();
  studio.piece(11);
  await settled();
  studio.encoder?.onEnd();
  await settled();
  expect(ends).toEqual(['cut', 'failed']);
});

test('a disk that does not keep up ends it, before the memory is full', async () => {
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  const slow = { ...sink, write: () => held };
  new Recording({
    studio,
    mime: '',
    sink: slow,
    limit: Infinity,
    scene: () => scene,
    onEnd: (end) => ends.push(end),
  });
  for (let megabytes = 0; megabytes < 32; megabytes++) studio.piece(MIB);
  expect(studio.stops).toBe(0);
  studio.piece(MIB);
  expect(studio.stops).toBe(1);
  studio.encoder?.onEnd();
  release();
  await settled();
  expect(ends).toEqual(['failed']);
});

test('an encoder that gives up leaves what it has made', async () => {
  begin();
  studio.piece(1_000);
  studio.encoder?.onEnd(new Error('encoder'));
  await settled();
  expect(disk).toMatchObject({ written: 1_000, closed: true });
  expect(ends).toEqual(['cut']);
});

test('a face fills its tile, a screen is shown whole', () => {
  const place = { x: 100, y: 100, width: 400, height: 400 };
  const size = { width: 1600, height: 800 };
  expect(fitted(size, place, false)).toEqual({ x: -100, y: 100, width: 800, height: 400 });
  expect(fitted(size, place, true)).toEqual({ x: 100, y: 200, width: 400, height: 200 });
});

test('an encoder that cannot be had leaves nothing open', () => {
  scene = { tiles: [tile('Ada', stream())], sounds: [track()] };
  studio.newEncoder = () => {
    throw new DOMException('no such encoder', 'NotSupportedError');
  };
  expect(() => begin()).toThrow('no such encoder');
  expect([studio.open, studio.heard.size, studio.watched.size]).toEqual([0, 0, 0]);
});

test('a sound that cannot be added takes neither the picture nor the other sounds with it', () => {
  const [broken, voice] = [track(), track()];
  let asked = 0;
  const mixer = studio.newMixer();
  studio.newMixer = () => ({
    ...mixer,
    add: (sound: MediaStreamTrack) => {
      if (sound !== broken) return mixer.add(sound);
      asked += 1;
      throw new DOMException('no sound', 'InvalidStateError');
    },
  });
  scene = { tiles: [tile('Zoe')], sounds: [broken, voice] };
  begin();
  studio.drawn = [];
  studio.tick();
  expect([[...studio.heard], asked]).toEqual([[voice], 1]);
  expect(studio.drawn).toContain('Zoe');
});
