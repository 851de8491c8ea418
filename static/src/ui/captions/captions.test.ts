import { expect, test } from 'vitest';
import { type Caption, nextCaptions } from './captions';

function after(...heard: [text: string, isFinal: boolean, speaker?: string][]): string[] {
  const none: readonly Caption[] = [];
  return heard
    .reduce((captions, [text, isFinal, speaker]) => nextCaptions(captions, text, isFinal, speaker), none)
    .map(({ name, text }) => `${name ?? '?'}: ${text}`);
}

test('an utterance grows in its line, with whoever had the floor when it began', () => {
  expect(after(['hel', false, 'Ada'], ['hello', false, 'Grace'])).toEqual(['Ada: hello']);
  expect(after(['hel', false, 'Ada'], ['hello', true, 'Ada'], ['yes', false, 'Grace'])).toEqual([
    'Ada: hello',
    'Grace: yes',
  ]);
});

test('only the last lines are kept, and nothing of an utterance in which nothing was understood', () => {
  const said = ['a', 'b', 'c', 'd'].map((text): [string, boolean] => [text, true]);
  expect(after(...said)).toEqual(['?: b', '?: c', '?: d']);
  expect(after(['a', true], ['hm', false], ['', true])).toEqual(['?: a']);
});
