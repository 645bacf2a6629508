import type { CallDelta } from '@millrace/contracts';
import type { SequenceEvent } from '../vocabulary.js';

type Tokens = Extract<SequenceEvent, { kind: 'tokens' }>;

/**
 * The same answer in fewer events: what follows each other in one sequence is put together until it has `pieceChars` characters. Within
 * each of its streams (text, thoughts, calls, citations, log-probabilities) nothing changes its place, and neither do they among each
 * other: thoughts, text and calls are only put together in the order in which an event tells them.
 */
export function joinedEvents(events: readonly SequenceEvent[], pieceChars: number): readonly SequenceEvent[] {
  const joined: SequenceEvent[] = [];
  for (const event of events) {
    const last = joined.at(-1);
    const both = last && charsOf(last) < pieceChars ? join(last, event) : undefined;
    if (both === undefined) joined.push(event);
    else joined[joined.length - 1] = both;
  }
  return joined;
}

/** Undefined where they can't be one. */
function join(one: SequenceEvent, next: SequenceEvent): SequenceEvent | undefined {
  if (one.index !== next.index) return undefined;
  if (one.kind === 'echo' && next.kind === 'echo') {
    return { ...one, text: one.text + next.text, logprobs: [...one.logprobs, ...next.logprobs] };
  }
  if (one.kind !== 'tokens' || next.kind !== 'tokens' || lastPlace(one) > firstPlace(next)) return undefined;
  return {
    ...one,
    tokens: [...one.tokens, ...next.tokens],
    unnumbered: (one.unnumbered ?? 0) + (next.unnumbered ?? 0),
    text: one.text + next.text,
    ...((one.reasoning ?? next.reasoning) !== undefined && {
      reasoning: (one.reasoning ?? '') + (next.reasoning ?? ''),
    }),
    ...((one.calls ?? next.calls) !== undefined && { calls: joinedCalls(one.calls ?? [], next.calls ?? []) }),
    ...((one.citations ?? next.citations) !== undefined && {
      citations: [...(one.citations ?? []), ...(next.citations ?? [])],
    }),
    ...((one.logprobs ?? next.logprobs) !== undefined && {
      logprobs: [...(one.logprobs ?? []), ...(next.logprobs ?? [])],
    }),
  };
}

/** The arguments of a call come bit by bit: bits of the same call become one. */
function joinedCalls(calls: readonly CallDelta[], next: readonly CallDelta[]): readonly CallDelta[] {
  const joined = [...calls];
  for (const delta of next) {
    const last = joined.at(-1);
    if (last !== undefined && delta.name === undefined && delta.index === last.index) {
      joined[joined.length - 1] = { ...last, arguments: last.arguments + delta.arguments };
    } else joined.push(delta);
  }
  return joined;
}

/** Where an event's content stands in the order of thoughts, text, calls; of one without content, nowhere that would matter. */
function firstPlace({ reasoning, text, calls }: Tokens): number {
  if (reasoning) return 0;
  if (text !== '') return 1;
  return calls?.length ? 2 : Number.POSITIVE_INFINITY;
}

function lastPlace({ reasoning, text, calls }: Tokens): number {
  if (calls?.length) return 2;
  if (text !== '') return 1;
  return reasoning ? 0 : Number.NEGATIVE_INFINITY;
}

function charsOf(event: SequenceEvent): number {
  if (event.kind === 'echo') return event.text.length;
  if (event.kind !== 'tokens') return 0;
  const calls = event.calls?.reduce((sum, call) => sum + call.arguments.length, 0) ?? 0;
  return event.text.length + (event.reasoning?.length ?? 0) + calls;
}
