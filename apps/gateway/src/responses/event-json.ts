import type { ResponseEvent } from '@millrace/contracts';

/** What was written of events once, for as long as somebody has them: to be kept, and from there to be sent. */
const written = new WeakMap<ResponseEvent, string>();

/** As JSON, in one line. An event that is kept is written once, whoever wants it. */
export function eventJson(event: ResponseEvent): string {
  const json = writtenJson(event) ?? JSON.stringify(event);
  written.set(event, json);
  return json;
}

/** Undefined: nobody has written it yet. */
export function writtenJson(event: ResponseEvent): string | undefined {
  return written.get(event);
}

/** Events as they are kept: a line each. */
export function eventLines(events: readonly ResponseEvent[]): string {
  return events.map(eventJson).join('\n');
}

export function eventsInLines(lines: string): readonly ResponseEvent[] {
  // So they were kept until 11/2026: one list.
  if (lines.startsWith('[')) return JSON.parse(lines) as readonly ResponseEvent[];
  return lines.split('\n').map((json) => {
    const event = JSON.parse(json) as ResponseEvent;
    written.set(event, json);
    return event;
  });
}
