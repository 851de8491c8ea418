import { expect, test } from 'vitest';
import { Emitter } from './emitter';

test('who listens is called until it ends that', () => {
  const emitter = new Emitter<{ number: number; text: string }>();
  const heard: (number | string)[] = [];
  const off = emitter.on('number', (number) => heard.push(number));
  emitter.on('text', (text) => heard.push(text));
  emitter.emit('number', 1);
  emitter.emit('text', 'a');
  off();
  emitter.emit('number', 2);
  expect(heard).toEqual([1, 'a']);
});

test('a listener may end itself while it is called, and the others are called all the same', () => {
  const emitter = new Emitter<{ event: undefined }>();
  let calls = 0;
  const off = emitter.on('event', () => {
    off();
  });
  emitter.on('event', () => (calls += 1));
  emitter.emit('event', undefined);
  emitter.emit('event', undefined);
  expect(calls).toBe(2);
});
