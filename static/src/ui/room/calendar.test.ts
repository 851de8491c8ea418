import fc from 'fast-check';
import { expect, test } from 'vitest';
import { calendarFile, type ScheduledMeeting } from './calendar';

const meeting: ScheduledMeeting = {
  title: 'standup',
  link: 'https://meet.example.org/r/standup',
  start: new Date('2026-03-01T09:30:00+08:00'),
  minutes: 45,
  uid: 'a-b-c',
  written: new Date('2026-02-28T12:00:00.123Z'),
};

/** Joins continued lines as a calendar does. */
const unfolded = (file: string): string[] => file.replaceAll('\r\n ', '').split('\r\n');

test('an entry in universal time, with the link where calendars look for it', () => {
  expect(unfolded(calendarFile(meeting))).toEqual([
    'BEGIN:VCALENDAR',
    'VERSION:2.0',
    'PRODID:-//Roundtable//Meeting//EN',
    'METHOD:PUBLISH',
    'BEGIN:VEVENT',
    'UID:a-b-c',
    'DTSTAMP:20260228T120000Z',
    'DTSTART:20260301T013000Z',
    'DTEND:20260301T021500Z',
    'SUMMARY:standup',
    'LOCATION:https://meet.example.org/r/standup',
    'DESCRIPTION:https://meet.example.org/r/standup',
    'URL:https://meet.example.org/r/standup',
    'END:VEVENT',
    'END:VCALENDAR',
    '',
  ]);
});

test('a title cannot end its line or begin another property', () => {
  const lines = unfolded(calendarFile({ ...meeting, title: 'a;b,c\\d\nATTENDEE:x' }));
  expect(lines).toContain(String.raw`SUMMARY:a\;b\,c\\d\nATTENDEE:x`);
});

test('no line has more than 75 octets, and nothing is lost of any title', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 200, size: 'max' }), (title) => {
      const file = calendarFile({ ...meeting, title });
      for (const line of file.split('\r\n')) expect(Buffer.byteLength(line)).toBeLessThanOrEqual(75);
      const summary = unfolded(file).find((line) => line.startsWith('SUMMARY:')) ?? '';
      const read = summary
        .slice('SUMMARY:'.length)
        .replaceAll(/\\(.)/g, (_, character: string) => (character === 'n' ? '\n' : character));
      expect(read).toBe(title.replaceAll('\r\n', '\n'));
    }),
  );
});
