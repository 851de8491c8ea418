/** A calendar entry for a meeting (RFC 5545). Pure. */

/** Content of the entry. */
export interface ScheduledMeeting {
  readonly title: string;
  /** The address of the room. */
  readonly link: string;
  readonly start: Date;
  readonly minutes: number;
  /** Unique id, by which a calendar recognizes the entry. */
  readonly uid: string;
  /** When the entry was written. */
  readonly written: Date;
}

/** Maximum line length in octets (RFC 5545 §3.1). */
const LINE_OCTETS = 75;

/** Returns the content of an `.ics` file. */
export function calendarFile({ title, link, start, minutes, uid, written }: ScheduledMeeting): string {
  const end = new Date(start.getTime() + minutes * 60_000);
  const lines = [
    'BEGIN:VCALENDAR',
    'VERSION:2.0',
    'PRODID:-//Roundtable//Meeting//EN',
    'METHOD:PUBLISH',
    'BEGIN:VEVENT',
    `UID:${escaped(uid)}`,
    `DTSTAMP:${utc(written)}`,
    `DTSTART:${utc(start)}`,
    `DTEND:${utc(end)}`,
    `SUMMARY:${escaped(title)}`,
    `LOCATION:${escaped(link)}`,
    // Some calendars do not show the URL.
    `DESCRIPTION:${escaped(link)}`,
    `URL:${link}`,
    'END:VEVENT',
    'END:VCALENDAR',
  ];
  return lines.map((line) => `${folded(line)}\r\n`).join('');
}

/** Formats a date in UTC, which means the same moment in every calendar. */
function utc(date: Date): string {
  return date.toISOString().replaceAll(/[-:]|\.\d+/g, '');
}

function escaped(text: string): string {
  return text.replaceAll(/[\\;,]/g, String.raw`\$&`).replaceAll(/\r?\n/g, String.raw`\n`);
}

/** Folds a long line between characters. */
function folded(line: string): string {
  let lines = '';
  let octets = 0;
  for (const character of line) {
    const size = new TextEncoder().encode(character).length;
    if (octets + size > LINE_OCTETS) {
      lines += '\r\n ';
      octets = 1;
    }
    lines += character;
    octets += size;
  }
  return lines;
}
