import type {
  AnswerEvent,
  CallDelta,
  ChatChunk,
  ChatTokenLogprob,
  Citation,
  Prompt,
  TextLogprobs,
  TokenLogprob,
} from '@millrace/contracts';
import { chatChunkSchema, chatCompletionSchema, FINISH_REASONS, textCompletionSchema } from '@millrace/contracts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SequenceEvent, ValidChatRequest, ValidTextRequest } from '../vocabulary.js';
import { chatChunks, collectChat } from './chat-answer.js';
import { collectText, textChunks } from './text-answer.js';

const DOCUMENTS = [{ title: 'One', url: 'https://one.example' }, { id: 'two' }, { text: 'three' }];
const called = {
  role: 'assistant',
  tool_calls: [{ id: 'a', type: 'function', function: { name: 'f', arguments: '' } }],
};
const PROMPT: Prompt = {
  kind: 'chat',
  messages: [called, { role: 'tool', tool_call_id: 'a', content: '' }],
  tools: [],
  templateVariables: {},
  documents: DOCUMENTS,
};

const heading = { id: 'x', created: 1, model: 'demo', system_fingerprint: 'fp' };

const bytes = fc.oneof(
  fc.string({ minLength: 1, maxLength: 3 }).map((text) => new TextEncoder().encode(text.toWellFormed())),
  fc.uint8Array({ minLength: 1, maxLength: 4 }),
);
const chance = fc.record({
  token: fc.nat(1_000),
  bytes,
  logprob: fc.oneof(fc.double({ min: -20, max: 0, noNaN: true }), fc.constant(Number.NEGATIVE_INFINITY)),
});
const logprob: fc.Arbitrary<TokenLogprob> = fc
  .record({ chance, top: fc.array(chance, { maxLength: 3 }) })
  .map(({ chance, top }) => ({ ...chance, top }));
const firstOfPrompt = logprob.map((one): TokenLogprob => ({ ...one, logprob: Number.NaN }));
const text = fc.string({ unit: 'grapheme', maxLength: 4 });

/** Pieces of calls, as they may come: each begins one or goes on with the last, or with one before it. */
const callPieces = fc.array(
  fc.record({
    name: fc.option(fc.constantFrom('f', 'g'), { nil: undefined }),
    arguments: text,
    back: fc.constantFrom(0, 0, 1),
  }),
  { maxLength: 2 },
);
const citation: fc.Arbitrary<Citation> = fc.record({
  start: fc.nat(3),
  end: fc.nat(9),
  sources: fc.array(
    fc.oneof(
      fc.record({ kind: fc.constant('document' as const), document: fc.nat(DOCUMENTS.length - 1) }),
      fc.record({ kind: fc.constant('toolResult' as const), callId: fc.constant('a'), result: fc.nat(2) }),
    ),
    { maxLength: 2 },
  ),
});

/** The pieces with their indexes; what would go on with a call before there is one is left out. */
function numbered<P extends { readonly calls: readonly (Omit<CallDelta, 'index'> & { readonly back: number })[] }>(
  pieces: readonly P[],
) {
  let index = -1;
  return pieces.map((piece) => {
    const calls = piece.calls.flatMap(({ back, ...call }): CallDelta[] => {
      if (call.name !== undefined) return [{ ...call, index: ++index }];
      return index < 0 ? [] : [{ ...call, index: Math.max(0, index - back) }];
    });
    return { ...piece, calls };
  });
}

type Piece = AnswerEvent;
const echo = (told: boolean): fc.Arbitrary<Piece[]> =>
  fc
    .array(fc.record({ text, logprobs: told ? fc.array(logprob, { maxLength: 3 }) : fc.constant([]) }), {
      maxLength: 3,
    })
    .chain((pieces) =>
      (told ? firstOfPrompt : fc.constant(undefined)).map((first) =>
        pieces.map((piece, index) => ({
          kind: 'echo' as const,
          text: piece.text,
          logprobs: index === 0 && first ? [first, ...piece.logprobs] : piece.logprobs,
        })),
      ),
    );

/** What one sequence may bring: log-probabilities with the text, before it, after it, or with none. */
const sequence = (told: boolean, echoed: boolean): fc.Arbitrary<Piece[]> =>
  fc
    .record({
      promptTokens: fc.nat(50),
      cachedTokens: fc.nat(50),
      completionTokens: fc.nat(50),
      reasoningTokens: fc.option(fc.nat(50), { nil: undefined }),
      echo: echoed ? echo(told) : fc.constant([]),
      tokens: fc.array(
        fc.record({
          tokens: fc.array(fc.nat(1_000), { maxLength: 3 }),
          text,
          reasoning: fc.option(text, { nil: undefined }),
          calls: callPieces,
          citations: fc.array(citation, { maxLength: 2 }),
          unnumbered: fc.option(fc.nat(3), { nil: undefined }),
          ...(told && { logprobs: fc.array(logprob, { maxLength: 3 }) }),
        }),
        { maxLength: 6 },
      ),
      reason: fc.constantFrom(...FINISH_REASONS),
    })
    .map(({ echo, tokens, reason, ...usage }) => [
      { kind: 'begun', promptTokens: usage.promptTokens, cachedTokens: usage.cachedTokens, waitedMs: 0 },
      ...echo,
      ...numbered(tokens).map((piece) => ({ kind: 'tokens' as const, ...piece })),
      { kind: 'finished', reason, usage },
    ]);

interface Case {
  readonly told: boolean;
  readonly prompts: number;
  readonly n: number;
  readonly events: readonly SequenceEvent[];
}

/** The sequences of one request, each in its own order and all of them mixed. */
function cases(promptsMax: number, withEcho: boolean): fc.Arbitrary<Case> {
  return fc
    .record({
      told: fc.boolean(),
      echoed: fc.boolean(),
      prompts: fc.integer({ min: 1, max: promptsMax }),
      n: fc.integer({ min: 1, max: 3 }),
    })
    .chain(({ told, echoed, prompts, n }) => {
      const all = prompts * n;
      return fc
        .tuple(
          fc.array(sequence(told, withEcho && echoed), { minLength: all, maxLength: all }),
          fc.infiniteStream(fc.nat(all - 1)),
        )
        .map(([sequences, turns]) => ({ told, prompts, n, events: mixed(sequences, turns) }));
    });
}

function mixed(sequences: readonly (readonly Piece[])[], turns: Iterator<number>): SequenceEvent[] {
  const rest = sequences.map((pieces) => [...pieces]);
  const events: SequenceEvent[] = [];
  while (rest.some((pieces) => pieces.length > 0)) {
    const start = turns.next().value as number;
    const index = rest.findIndex((_, offset) => rest[(start + offset) % rest.length]!.length > 0);
    const turn = (start + index) % rest.length;
    events.push({ ...rest[turn]!.shift()!, index: turn });
  }
  return events;
}

async function* streamOf(events: readonly SequenceEvent[]): AsyncGenerator<SequenceEvent> {
  yield* events;
}

async function all<T>(lists: AsyncIterable<readonly T[]>): Promise<T[]> {
  const items: T[] = [];
  for await (const list of lists) items.push(...list);
  return items;
}

function requestOf<R>({ told, prompts, n }: Case): R {
  const logprobs = told ? 3 : undefined;
  return { prompts: new Array(prompts).fill(PROMPT), n, bestOf: n, includeUsage: true, logprobs } as R;
}

/** As the client gets it. */
const onTheWire = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;

describe('a chat, streamed', () => {
  it('adds up to the whole answer: text, thoughts, calls, annotations, reasons, log-probabilities, usage', async () => {
    await fc.assert(
      fc.asyncProperty(cases(1, false), async (one) => {
        const request = requestOf<ValidChatRequest>(one);
        const whole = onTheWire(await collectChat(streamOf(one.events), heading, request));
        const chunks = onTheWire(await all(chatChunks(streamOf(one.events), heading, request)));
        expect(chatCompletionSchema.parse(whole)).toEqual(whole);
        for (const chunk of chunks) expect(chatChunkSchema.parse(chunk)).toEqual(chunk);

        const deltas = chunks.flatMap(({ choices }) => choices);
        for (const { index, message, logprobs, finish_reason } of whole.choices) {
          const own = deltas.filter((delta) => delta.index === index);
          expect(own[0]?.delta).toEqual({ role: 'assistant', content: '', refusal: null });
          expect(own.slice(1).every(({ delta }) => delta.role === undefined && delta.content !== '')).toBe(true);
          expect(own.map(({ delta }) => delta.content ?? '').join('')).toBe(message.content ?? '');
          expect(own.map(({ delta }) => delta.reasoning_content ?? '').join('')).toBe(message.reasoning_content ?? '');
          expect(own.every(({ delta }) => delta.reasoning_content !== '')).toBe(true);
          expect(joinedCalls(own.map(({ delta }) => delta))).toEqual(message.tool_calls?.map((call) => call.function));
          expect(message.content === null).toBe(
            Boolean(message.tool_calls) && own.every(({ delta }) => !delta.content),
          );
          // One list of them: openai-python breaks on a second.
          const annotations = own.map(({ delta }) => delta.annotations).filter((list) => list !== undefined);
          expect(annotations).toEqual(message.annotations ? [message.annotations] : []);
          expect(finish_reason).not.toBe(message.tool_calls ? 'stop' : 'tool_calls');
          expect(own.map((delta) => delta.finish_reason).filter(Boolean)).toEqual([finish_reason]);
          expect(own.at(-1)?.delta).toEqual({});
          const told: ChatTokenLogprob[] = own.flatMap((delta) => delta.logprobs?.content ?? []);
          expect(told).toEqual(one.told ? logprobs?.content : []);
          expect(logprobs === null).toBe(!one.told);
        }
        expect(chunks.filter(({ usage }) => usage).map(({ choices, usage }) => [choices, usage])).toEqual([
          [[], whole.usage],
        ]);
      }),
    );
  });
});

/** As both of OpenAI's clients put them together. Every first piece has an id of its own and no arguments. */
function joinedCalls(deltas: readonly ChatChunk['choices'][number]['delta'][]): object[] | undefined {
  const calls: { name: string; arguments: string }[] = [];
  const ids: string[] = [];
  for (const call of deltas.flatMap(({ tool_calls }) => tool_calls ?? [])) {
    if ('id' in call) {
      expect(call).toMatchObject({ index: calls.length, function: { arguments: '' } });
      ids.push(call.id);
      calls.push({ ...call.function });
    } else {
      expect(call.function.arguments).not.toBe('');
      calls[call.index]!.arguments += call.function.arguments;
    }
  }
  expect(new Set(ids).size).toBe(ids.length);
  for (const id of ids) expect(id).toMatch(/^call_[A-Za-z0-9]{24}$/);
  return calls.length === 0 ? undefined : calls;
}

describe('a text, streamed', () => {
  it('adds up to the whole answer: echo, text, reasons, log-probabilities, usage', async () => {
    await fc.assert(
      fc.asyncProperty(cases(2, true), async (one) => {
        const request = requestOf<ValidTextRequest>(one);
        const whole = onTheWire(await collectText(streamOf(one.events), heading, request));
        const chunks = onTheWire(await all(textChunks(streamOf(one.events), heading, request)));
        for (const body of [whole, ...chunks]) expect(textCompletionSchema.parse(body)).toEqual(body);

        const pieces = chunks.flatMap(({ choices }) => choices);
        for (const { index, text, logprobs, finish_reason } of whole.choices) {
          const own = pieces.filter((piece) => piece.index === index);
          expect(own.map((piece) => piece.text).join('')).toBe(text);
          expect(own.slice(0, -1).every((piece) => piece.text !== '' && piece.finish_reason === null)).toBe(true);
          expect(own.at(-1)).toMatchObject({ text: '', finish_reason });
          expect(joined(own.map((piece) => piece.logprobs))).toEqual(one.told ? logprobs : NOTHING);
          expect(logprobs === null).toBe(!one.told);
        }
        expect(chunks.at(-1)).toMatchObject({ choices: [], usage: whole.usage });
      }),
    );
  });

  it('counts each prompt once and every token that was generated', async () => {
    await fc.assert(
      fc.asyncProperty(cases(3, true), async (one) => {
        const { usage } = await collectText(streamOf(one.events), heading, requestOf<ValidTextRequest>(one));
        const ended = one.events.filter((event) => event.kind === 'finished');
        const completion = ended.reduce((sum, event) => sum + event.usage.completionTokens, 0);
        expect(usage?.completion_tokens).toBe(completion);
        expect(usage?.total_tokens).toBe((usage?.prompt_tokens ?? 0) + completion);
        if (one.n > 1) return;
        expect(usage?.prompt_tokens).toBe(ended.reduce((sum, event) => sum + event.usage.promptTokens, 0));
      }),
    );
  });
});

const NOTHING: TextLogprobs = { tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] };

function joined(parts: readonly (TextLogprobs | null)[]): TextLogprobs {
  const present = parts.filter((part) => part !== null);
  return {
    tokens: present.flatMap(({ tokens }) => tokens),
    token_logprobs: present.flatMap(({ token_logprobs }) => token_logprobs),
    top_logprobs: present.flatMap(({ top_logprobs }) => top_logprobs),
    text_offset: present.flatMap(({ text_offset }) => text_offset),
  };
}
