import type { CallDelta, MessageAnswerBlock, MessageEvent, ResponseBody, ResponseEvent } from '@millrace/contracts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SequenceEvent, ValidMessagesRequest } from '../vocabulary.js';
import { collectMessage, messageEvents } from './message-events.js';
import { PartsInOrder } from './parts-in-order.js';
import { emptyResponse } from './response-body.js';
import { ResponseEvents } from './response-events.js';

interface Piece {
  readonly text: string;
  readonly reasoning?: string;
  readonly calls?: readonly CallDelta[];
}

const begun: SequenceEvent = { kind: 'begun', index: 0, promptTokens: 3, cachedTokens: 1, waitedMs: 0 };
const usage = { promptTokens: 3, cachedTokens: 1, completionTokens: 5, reasoningTokens: 2 };
const finished = (reason: string) => ({ kind: 'finished', index: 0, reason, usage }) as SequenceEvent;
const tokens = (piece: Piece): SequenceEvent => ({ kind: 'tokens', index: 0, tokens: [1], ...piece });
const callPiece = (call: CallDelta): Piece => ({ text: '', calls: [call] });

const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 4 });
const input = fc.dictionary(fc.string({ maxLength: 3 }), fc.jsonValue({ maxDepth: 2 }), { maxKeys: 3 });
const call = fc.record({ input, cuts: fc.array(fc.nat(30), { maxLength: 3 }) });

/** Parts as a model writes them, each as the pieces that it comes in. */
const written = fc
  .array(fc.oneof(fc.record({ text }), fc.record({ reasoning: text }), call, call), { minLength: 1, maxLength: 7 })
  .map((parts) => {
    let index = -1;
    return parts.map((part): Piece[] => {
      if ('text' in part) return [{ text: part.text }];
      if ('reasoning' in part) return [{ text: '', reasoning: part.reasoning }];
      index++;
      const more = cutAt(JSON.stringify(part.input), part.cuts).map((bit) => callPiece({ index, arguments: bit }));
      return [callPiece({ index, name: `f${index}`, arguments: '' }), ...more];
    });
  });

function cutAt(json: string, cuts: readonly number[]): string[] {
  const bounds = [0, ...cuts.map((cut) => Math.min(cut, json.length)).sort((a, b) => a - b), json.length];
  return bounds.slice(1).map((end, at) => json.slice(bounds[at], end));
}

/** Parts begin in their order, and have no other: what is left of those that have begun comes at any time. */
function mixed(parts: readonly (readonly Piece[])[], turns: readonly number[]): Piece[] {
  const waiting = [...parts];
  const open: Piece[][] = [];
  const pieces: Piece[] = [];
  for (let turn = 0; waiting.length + open.length > 0; turn++) {
    const choice = turns[turn % turns.length]! % (open.length + (waiting.length > 0 ? 1 : 0));
    const part = open[choice] ?? [...waiting.shift()!];
    if (choice === open.length) open.push(part);
    pieces.push(part.shift()!);
    if (part.length === 0) open.splice(open.indexOf(part), 1);
  }
  return pieces;
}

const cases = fc.record({
  parts: written,
  turns: fc.array(fc.nat(20), { minLength: 1, maxLength: 20 }),
  reason: fc.constantFrom('stop', 'tool_calls', 'length'),
});

/** Ids are new each time. */
const nameless = <T>(value: T): T =>
  JSON.parse(JSON.stringify(value), (key, one) => (/^(call_)?id$/.test(key) ? '' : one));

async function message(pieces: readonly Piece[], reason: string) {
  async function* events(): AsyncGenerator<SequenceEvent> {
    yield begun;
    for (const piece of pieces) yield tokens(piece);
    yield finished(reason);
  }
  const heading = { id: 'msg_x', answeredBy: { id: 'demo', contextLength: 100 } } as Parameters<
    typeof messageEvents
  >[1];
  const request = { thoughtsTold: 'all', maxTokens: 100 } as ValidMessagesRequest;
  const told: MessageEvent[] = [];
  for await (const several of messageEvents(events(), heading, request)) told.push(...several);
  const whole = await collectMessage(messageEvents(events(), heading, request));
  return { told, whole };
}

/** What a client puts together that looks at nothing but its deltas. */
function blocksOf(events: readonly MessageEvent[]): MessageAnswerBlock[] {
  const blocks: Record<string, unknown>[] = [];
  const inputs: string[] = [];
  for (const event of events) {
    if (event.type === 'content_block_start') blocks[event.index] = { ...event.content_block };
    if (event.type !== 'content_block_delta') continue;
    const { index, delta } = event;
    const block = blocks[index]!;
    if (delta.type === 'text_delta') block.text += delta.text;
    if (delta.type === 'thinking_delta') block.thinking += delta.thinking;
    if (delta.type === 'signature_delta') block.signature += delta.signature;
    if (delta.type === 'input_json_delta') inputs[index] = (inputs[index] ?? '') + delta.partial_json;
  }
  inputs.forEach((json, index) => {
    blocks[index]!.input = JSON.parse(json);
  });
  return blocks as never;
}

function response(pieces: readonly Piece[], reason: string) {
  const model = { id: 'demo', samplingDefaults: {} };
  const empty = emptyResponse({}, { model, sampling: {} } as never, { id: 'resp_1', createdAt: 1 });
  const events = new ResponseEvents(
    empty,
    () => [],
    () => 'demo',
  );
  const told = [begun, ...pieces.map(tokens), finished(reason)].flatMap((event) => events.add(event));
  return { told, whole: events.ended! };
}

function itemsOf(events: readonly ResponseEvent[]): unknown[] {
  const items: Record<string, unknown>[] = [];
  for (const event of events) {
    if (event.type === 'response.output_item.added') items[event.output_index] = structuredClone(event.item);
    if (!('item_id' in event)) continue;
    const item = items[event.output_index] as { content: Record<string, unknown>[]; arguments: string };
    if (event.type === 'response.content_part.added') item.content[event.content_index] = structuredClone(event.part);
    if (event.type === 'response.output_text.delta' || event.type === 'response.reasoning_text.delta')
      item.content[event.content_index]!.text += event.delta;
    if (event.type === 'response.function_call_arguments.delta') item.arguments += event.delta;
  }
  return items.map((item) => ({ ...item, status: 'completed' }));
}

describe('an answer whose calls come mixed', () => {
  it('is the same message as one whose parts come one after another, streamed and whole', async () => {
    await fc.assert(
      fc.asyncProperty(cases, async ({ parts, turns, reason }) => {
        const ordered = await message(parts.flat(), reason);
        const { told, whole } = await message(mixed(parts, turns), reason);
        expect(nameless(whole)).toEqual(nameless(ordered.whole));
        expect(nameless(blocksOf(told))).toEqual(nameless(whole.content));
      }),
      { numRuns: 300 },
    );
  });

  it('is the same response as one whose parts come one after another, streamed and whole', () => {
    fc.assert(
      fc.property(cases, ({ parts, turns, reason }) => {
        const output = ({ output }: ResponseBody) => nameless(output.map((item) => ({ ...item, status: 'completed' })));
        const ordered = response(parts.flat(), reason);
        const { told, whole } = response(mixed(parts, turns), reason);
        expect(output(whole)).toEqual(output(ordered.whole));
        expect(whole.status).toBe(ordered.whole.status);
        expect(nameless(itemsOf(told))).toEqual(output(whole));
      }),
      { numRuns: 300 },
    );
  });
});

describe('parts of an answer', () => {
  const add = (parts: PartsInOrder, ...pieces: readonly Piece[]) => addAll(parts, pieces);
  const addAll = (parts: PartsInOrder, pieces: readonly Piece[]) =>
    pieces.flatMap((piece) => parts.add(tokens(piece) as Extract<SequenceEvent, { kind: 'tokens' }>));

  it('are told at once where none of them is mixed with others', () => {
    const parts = new PartsInOrder();
    expect(add(parts, { text: 'a' })).toHaveLength(1);
    expect(add(parts, callPiece({ index: 0, name: 'f', arguments: '{"a"' }))).toHaveLength(1);
    expect(add(parts, callPiece({ index: 0, arguments: ':1}' }))).toHaveLength(1);
    expect(add(parts, callPiece({ index: 1, name: 'g', arguments: '' }))).toHaveLength(1);
    expect(parts.end()).toEqual([]);
  });

  it('that only have space behind the end of a call change nothing of it', () => {
    const space = callPiece({ index: 0, arguments: ' \n' });
    const first = callPiece({ index: 0, name: 'f', arguments: '{}' });
    expect(add(new PartsInOrder(), first, space, { text: 'a' })).toEqual(
      add(new PartsInOrder(), first, { text: 'a' }, space),
    );
  });

  it('that say only how likely a token was end no call', () => {
    const parts = new PartsInOrder();
    const chance = { token: 1, bytes: new Uint8Array(), logprob: -1, top: [] };
    const silent = { text: '', logprobs: [chance] } as Piece;
    add(parts, callPiece({ index: 0, name: 'f', arguments: '{}' }), silent);
    expect(add(parts, callPiece({ index: 0, arguments: '}' }))).toMatchObject([{ kind: 'call', arguments: '}' }]);
  });

  it('are told however many of them had to wait', () => {
    const parts = new PartsInOrder();
    const open = callPiece({ index: 0, name: 'f', arguments: '{' });
    const many = Array.from({ length: 300_000 }, (_, at) => (at % 2 ? { text: 'x' } : { text: '', reasoning: 'y' }));
    const told = [...addAll(parts, [open, ...many]), ...parts.end()];
    expect(told).toHaveLength(300_001);
  });

  it('wait for a call that never becomes JSON no longer than there is room for them', () => {
    const open = callPiece({ index: 0, name: 'f', arguments: '{' });
    const parts = new PartsInOrder(74);
    expect(add(parts, open, { text: 'x'.repeat(5) }, { text: 'x'.repeat(5) })).toHaveLength(1);
    expect(add(parts, { text: 'y' })).toMatchObject([{ kind: 'text', text: 'xxxxxxxxxxy' }]);
    expect(add(parts, { text: 'z' })).toMatchObject([{ kind: 'text', text: 'z' }]);
    // What is told of it is not all of it, and half a call might be carried out.
    expect(() => add(parts, callPiece({ index: 0, arguments: '"a":1}' }))).toThrow('more than 74 bytes');
  });
});
