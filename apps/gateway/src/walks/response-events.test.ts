import { type ResponseBody, type ResponseEvent, responseEventSchema } from '@millrace/contracts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SequenceEvent } from '../vocabulary.js';
import { emptyResponse } from './response-body.js';
import { ResponseEvents } from './response-events.js';

const model = { id: 'demo', samplingDefaults: {} };
const empty = emptyResponse({}, { model, sampling: {} } as never, { id: 'resp_1', createdAt: 1 });
const annotate = ({ start, end }: { readonly start: number; readonly end: number }) => [
  { type: 'url_citation' as const, start_index: start, end_index: end, title: 't', url: 'u' },
];
const machine = () => new ResponseEvents(empty, annotate, () => 'demo');

const USED = { promptTokens: 3, cachedTokens: 1, completionTokens: 5, reasoningTokens: 2 };
const begun: SequenceEvent = { kind: 'begun', index: 0, promptTokens: 3, cachedTokens: 1, waitedMs: 0 };
const tokens = (piece: object): SequenceEvent => ({ kind: 'tokens', index: 0, tokens: [1], text: '', ...piece });
const finished: SequenceEvent = { kind: 'finished', index: 0, reason: 'stop', usage: USED };

const told = (...events: SequenceEvent[]) => {
  const one = machine();
  return [begun, ...events].flatMap((event) => one.add(event));
};

/** What a client puts together that looks at nothing but what is new in each event. */
function collect(events: readonly ResponseEvent[]): unknown[] {
  const items: Record<string, unknown>[] = [];
  for (const event of events) {
    if (event.type === 'response.output_item.added') items[event.output_index] = structuredClone(event.item);
    if (!('item_id' in event)) continue;
    const item = items[event.output_index] as { content: Record<string, unknown>[]; arguments?: string; id: string };
    expect(event.item_id).toBe(item.id);
    if (event.type === 'response.content_part.added') item.content[event.content_index] = structuredClone(event.part);
    const part = 'content_index' in event ? item.content[event.content_index]! : {};
    if (event.type === 'response.output_text.delta' || event.type === 'response.reasoning_text.delta')
      part.text += event.delta;
    if (event.type === 'response.output_text.annotation.added')
      (part.annotations as unknown[])[event.annotation_index] = event.annotation;
    if (event.type === 'response.function_call_arguments.delta') item.arguments += event.delta;
  }
  return items;
}

const withoutStatus = (items: readonly object[]) => items.map((item) => ({ ...item, status: undefined }));

describe('events of a response', () => {
  const text = fc.string({ unit: 'grapheme', maxLength: 4 });
  const piece = fc.record({
    reasoning: fc.option(text, { nil: undefined }),
    text,
    call: fc.option(fc.record({ name: fc.option(fc.constant('f'), { nil: undefined }), arguments: text }), {
      nil: undefined,
    }),
    cites: fc.boolean(),
  });
  /** What goes on with a call does so right behind it. */
  const answers = fc.array(piece, { maxLength: 8 }).map((pieces) => {
    let index = -1;
    let calling = false;
    return pieces.map(({ call, cites, reasoning, text }) => {
      if (text !== '' || reasoning) calling = false;
      const goesOn = call !== undefined && (calling || call.name !== undefined);
      if (goesOn && call.name !== undefined) index++;
      calling ||= goesOn;
      return tokens({
        reasoning,
        text,
        calls: goesOn ? [{ index, ...call }] : [],
        citations: cites ? [{ start: 0, end: 1, sources: [] }] : [],
      });
    });
  });
  const ends = fc
    .constantFrom('stop', 'length', 'tool_calls', 'content_filter')
    .map((reason) => ({ ...finished, reason }));

  it('are numbered, valid, and put together by their deltas the same as the last of them has whole', () => {
    fc.assert(
      fc.property(answers, ends, (pieces, end) => {
        const events = told(...pieces, end as SequenceEvent);
        expect(events.map(({ sequence_number }) => sequence_number)).toEqual(events.map((_, index) => index));
        for (const event of events) expect(responseEventSchema.parse(event)).toEqual(event);
        const last = events.at(-1) as Extract<ResponseEvent, { response: ResponseBody }>;
        expect(withoutStatus(last.response.output)).toEqual(withoutStatus(collect(events) as object[]));
        const done = events.filter((event) => event.type === 'response.output_item.done');
        expect(done.map((event) => 'item' in event && event.item)).toEqual(last.response.output);
        expect(last.response.status).toBe(['stop', 'tool_calls'].includes(end.reason) ? 'completed' : 'incomplete');
      }),
    );
  });

  it('have a beginning and an end for each item, and one of them is open at a time', () => {
    fc.assert(
      fc.property(answers, (pieces) => {
        let open: number | undefined;
        for (const event of told(...pieces, finished)) {
          if (event.type === 'response.output_item.added') {
            expect(open).toBeUndefined();
            open = event.output_index;
          } else if ('output_index' in event) expect(event.output_index).toBe(open);
          if (event.type === 'response.output_item.done') open = undefined;
        }
        expect(open).toBeUndefined();
      }),
    );
  });

  it('count citations from the text that they are of', () => {
    const citing = (start: number, end: number) => ({ citations: [{ start, end, sources: [] }] });
    const calls = [{ index: 0, name: 'f', arguments: '{}' }];
    const events = told(
      tokens({ text: '𝒯ides', ...citing(0, 5) }),
      tokens({ calls }),
      tokens({ text: 'turn', ...citing(5, 9) }),
      // Of what was told whole by now.
      tokens(citing(0, 2)),
      finished,
    );
    const { response } = events.at(-1) as { response: ResponseBody };
    expect(response.output).toMatchObject([
      { content: [{ annotations: [{ start_index: 0, end_index: 5 }] }] },
      { type: 'function_call' },
      { content: [{ annotations: [{ start_index: 0, end_index: 4 }] }] },
    ]);
  });

  it('never change once they are told', () => {
    const one = machine();
    const events = [begun, tokens({ text: 'a' }), tokens({ text: 'b' })].flatMap((event) => one.add(event));
    const before = JSON.stringify(events);
    one.add(tokens({ text: 'c', citations: [{ start: 0, end: 1, sources: [] }] }));
    one.add(finished);
    expect(JSON.stringify(events)).toBe(before);
  });

  it('tell a text behind the call in whose midst it came', () => {
    const first = tokens({ calls: [{ index: 0, name: 'f', arguments: '{' }] });
    const { response } = told(
      first,
      tokens({ text: 'x' }),
      tokens({ calls: [{ index: 0, arguments: '}' }] }),
      finished,
    ).at(-1) as { response: ResponseBody };
    expect(response.output).toMatchObject([
      { type: 'function_call', arguments: '{}' },
      { type: 'message', content: [{ text: 'x' }] },
    ]);
  });

  it('say of each call of an answer that was cut whether it is whole', () => {
    const { response } = told(
      tokens({ calls: [{ index: 0, name: 'f', arguments: '{' }] }),
      tokens({ calls: [{ index: 1, name: 'g', arguments: '{}' }] }),
      tokens({ calls: [{ index: 2, name: 'h', arguments: '' }] }),
      { ...finished, reason: 'length' } as SequenceEvent,
    ).at(-1) as { response: ResponseBody };
    expect(response.output).toMatchObject([
      { name: 'f', arguments: '{', status: 'incomplete' },
      { name: 'g', arguments: '{}', status: 'completed' },
      { name: 'h', arguments: '', status: 'incomplete' },
    ]);
  });
});
