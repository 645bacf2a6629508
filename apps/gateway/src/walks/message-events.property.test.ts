import type { AnswerEvent, MessageEvent } from '@millrace/contracts';
import { FINISH_REASONS, messageEventSchema, messageSchema } from '@millrace/contracts';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { SequenceEvent, ThoughtsTold, ValidMessagesRequest } from '../vocabulary.js';
import { collectMessage, messageEvents } from './message-events.js';

type Tokens = Extract<AnswerEvent, { kind: 'tokens' }>;
type Piece = Pick<Tokens, 'text' | 'reasoning' | 'calls'>;

const text = fc.string({ unit: 'grapheme', maxLength: 4 });
const json = fc.json({ maxDepth: 2 });

/** An answer as a model writes it: pieces of thoughts and text, and calls, whose arguments are cut anywhere. */
const written: fc.Arbitrary<Piece[]> = fc
  .array(
    fc.oneof(
      fc.record({ text }),
      fc.record({ text: fc.constant(''), reasoning: text }),
      fc.record({ json, cut: fc.nat(20) }),
    ),
    { maxLength: 8 },
  )
  .map((parts) => {
    let index = -1;
    return parts.flatMap((part): Piece[] => {
      if (!('json' in part)) return [part];
      index++;
      const bits = [part.json.slice(0, part.cut), part.json.slice(part.cut)];
      const call = (more: object) => ({
        text: '',
        calls: [{ index, ...more } as NonNullable<Tokens['calls']>[number]],
      });
      return [call({ name: 'f', arguments: '' }), ...bits.map((bit) => call({ arguments: bit }))];
    });
  });

/** As some engines have it: pieces of calls, begun in their order, come between those of others and between texts. */
function mixed(pieces: readonly Piece[], swaps: readonly boolean[]): Piece[] {
  const all = [...pieces];
  for (const [turn, swap] of swaps.entries()) {
    const at = all.length < 2 ? 0 : turn % (all.length - 1);
    const [one, next] = [all[at], all[at + 1]];
    if (swap && next !== undefined && mayChangePlaces(one!, next)) all.splice(at, 2, next, one!);
  }
  return all;
}

function mayChangePlaces({ calls: [one] = [] }: Piece, { calls: [next] = [] }: Piece): boolean {
  if (one === undefined || next === undefined) return one !== next;
  return one.index !== next.index && (one.name === undefined || next.name === undefined);
}

/** As the inbox does for a slow reader: several pieces in one, which no more tells in which order they came. */
function merged(pieces: readonly Piece[]): Piece {
  const calls: { index: number; name?: string | undefined; arguments: string }[] = [];
  for (const call of pieces.flatMap(({ calls = [] }) => calls)) {
    const before = calls.find(({ index }) => index === call.index);
    if (before === undefined) calls.push({ ...call });
    else before.arguments += call.arguments;
  }
  const reasoning = pieces.map((piece) => piece.reasoning ?? '').join('');
  return {
    text: pieces.map((piece) => piece.text).join(''),
    ...(reasoning !== '' && { reasoning }),
    ...(calls.length > 0 && { calls }),
  };
}

const cases = fc.record({
  written: fc.tuple(written, fc.array(fc.boolean(), { maxLength: 60 })).map((one) => mixed(...one)),
  /** After how many pieces the reader reads. */
  reads: fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 5 }),
  reason: fc.constantFrom(...FINISH_REASONS),
  stopText: fc.option(fc.constant('END'), { nil: undefined }),
  thoughtsTold: fc.constantFrom<ThoughtsTold>('all', 'omitted', 'none'),
});

const usage = { promptTokens: 9, completionTokens: 5, cachedTokens: 4, reasoningTokens: 1 };
const heading = { id: 'msg_x', answeredBy: { id: 'demo', contextLength: 100 } } as Parameters<typeof messageEvents>[1];

async function* eventsOf(pieces: readonly Piece[], ending: object): AsyncGenerator<SequenceEvent> {
  yield { kind: 'begun', index: 0, promptTokens: 9, cachedTokens: 4, waitedMs: 0 };
  for (const piece of pieces) yield { kind: 'tokens', index: 0, tokens: [1], ...piece };
  yield { kind: 'finished', index: 0, usage, ...ending } as SequenceEvent;
}

it('a streamed message has Anthropic’s order, and is the whole one whatever was read at a time', async () => {
  await fc.assert(
    fc.asyncProperty(cases, async ({ written, reads, reason, stopText, thoughtsTold }) => {
      const read: Piece[] = [];
      for (let at = 0, turn = 0; at < written.length; turn++) {
        const next = at + reads[turn % reads.length]!;
        read.push(merged(written.slice(at, next)));
        at = next;
      }
      const request = { thoughtsTold, maxTokens: 100 } as ValidMessagesRequest;
      const ending = { reason, ...(stopText !== undefined && { stopText }) };
      const stream = () => messageEvents(eventsOf(read, ending), heading, request);

      const events: MessageEvent[] = [];
      for await (const several of stream()) events.push(...several.map((one) => messageEventSchema.parse(one)));
      checkOrder(events);

      const whole = messageSchema.parse(await collectMessage(stream()));
      const thoughts = written.map((piece) => piece.reasoning ?? '').join('');
      const told = whole.content.flatMap((block) => (block.type === 'thinking' ? [block] : []));
      expect(told.map((block) => block.thinking).join('')).toBe(thoughtsTold === 'all' ? thoughts : '');
      expect(told.every(({ signature }) => signature !== '')).toBe(true);
      if (thoughtsTold === 'none' || thoughts === '') expect(told).toEqual([]);
      expect(whole.content.map((block) => (block.type === 'text' ? block.text : '')).join('')).toBe(
        written.map((piece) => piece.text).join(''),
      );
      const inputs = whole.content.flatMap((block) => (block.type === 'tool_use' ? [block.input] : []));
      const calls = new Map<number, string>();
      for (const call of written.flatMap(({ calls = [] }) => calls)) {
        calls.set(call.index, (calls.get(call.index) ?? '') + call.arguments);
      }
      expect(inputs).toEqual([...calls.values()].map((one) => JSON.parse(one)));
      expect(whole.stop_reason).toBe(reasonOf(reason, calls.size, stopText));
      expect(whole.usage).toMatchObject({ input_tokens: 5, cache_read_input_tokens: 4, output_tokens: 5 });
    }),
    { numRuns: 500 },
  );
});

function checkOrder(events: readonly MessageEvent[]): void {
  const types = events.map(({ type }) => type);
  expect(types.slice(0, 2)).toEqual(['message_start', 'ping']);
  expect(types.slice(-2)).toEqual(['message_delta', 'message_stop']);
  let open: { readonly index: number; readonly type: string } | undefined;
  let blocks = 0;
  for (const event of events.slice(2, -2)) {
    if (event.type === 'content_block_start') {
      expect(open).toBeUndefined();
      expect(event.index).toBe(blocks++);
      open = { index: event.index, type: event.content_block.type };
    } else if (event.type === 'content_block_delta') {
      expect(event.index).toBe(open?.index);
      expect(DELTAS[event.delta.type]).toBe(open?.type);
      if ('text' in event.delta) expect(event.delta.text).not.toBe('');
    } else {
      expect(event.type).toBe('content_block_stop');
      expect('index' in event && event.index).toBe(open?.index);
      open = undefined;
    }
  }
  expect(open).toBeUndefined();
}

const DELTAS = {
  text_delta: 'text',
  thinking_delta: 'thinking',
  signature_delta: 'thinking',
  input_json_delta: 'tool_use',
} as const;

function reasonOf(reason: string, calls: number, stopText: string | undefined): string {
  if (reason === 'length') return 'max_tokens';
  if (reason === 'content_filter') return 'refusal';
  if (calls > 0) return 'tool_use';
  return stopText === undefined ? 'end_turn' : 'stop_sequence';
}
