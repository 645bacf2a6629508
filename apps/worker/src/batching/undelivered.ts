import type { CallDelta, ResumedAnswer } from '@millrace/contracts';
import type { LetOut } from './answer-text.js';

/**
 * What the tokens of an earlier attempt brought beyond what was delivered for them: the beginning of a character or of a
 * stop text, which that attempt held back, or what was in a frame that was lost.
 */
export function undelivered(pieces: readonly LetOut[], delivered: ResumedAnswer): LetOut {
  const text = pieces.map((piece) => piece.text).join('');
  const reasoning = pieces.map((piece) => piece.reasoning ?? '').join('');
  const citations = pieces.flatMap((piece) => piece.citations ?? []);
  return {
    text: text.slice(delivered.text.length),
    reasoning: reasoning.slice(delivered.reasoning?.length ?? 0),
    calls: undeliveredCalls(
      pieces.flatMap((piece) => piece.calls ?? []),
      delivered.calls ?? [],
    ),
    citations: citations.slice(delivered.citations ?? 0),
    logprobs: [],
  };
}

interface Call {
  name: string | undefined;
  arguments: string;
}

function undeliveredCalls(all: readonly CallDelta[], delivered: readonly CallDelta[]): CallDelta[] {
  const known = whole(delivered);
  return [...whole(all)].flatMap(([index, call]) => {
    const before = known.get(index);
    if (before === undefined) return [{ index, name: call.name, arguments: call.arguments }];
    const rest = call.arguments.slice(before.arguments.length);
    return rest === '' ? [] : [{ index, arguments: rest }];
  });
}

function whole(deltas: readonly CallDelta[]): Map<number, Call> {
  const calls = new Map<number, Call>();
  for (const delta of deltas) {
    const call = calls.get(delta.index);
    if (call === undefined) calls.set(delta.index, { name: delta.name, arguments: delta.arguments });
    else call.arguments += delta.arguments;
  }
  return calls;
}
