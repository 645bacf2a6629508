import type { ResponseEvent } from '@millrace/contracts';
import { expect, it } from 'vitest';
import { eventLines, eventsInLines, writtenJson } from './event-json.js';

const EVENTS = ['one\ntwo', '\u2028 "', ''].map(
  (delta, sequence_number) => ({ type: 'response.output_text.delta', sequence_number, delta }) as ResponseEvent,
);

it('reads events as they were kept, and has their JSON without writing it again', () => {
  const lines = eventLines(EVENTS);
  const read = eventsInLines(lines);
  expect(read).toEqual(EVENTS);
  expect(read.map(writtenJson).join('\n')).toBe(lines);
});

it('reads those that were kept as one list', () => {
  expect(eventsInLines(JSON.stringify(EVENTS))).toEqual(EVENTS);
});
