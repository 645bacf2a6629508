import type { CallDelta } from '@millrace/contracts';
import type { SequenceEvent } from '../vocabulary.js';

type Tokens = Extract<SequenceEvent, { kind: 'tokens' }>;
type Echo = Extract<SequenceEvent, { kind: 'echo' }>;

/** Events of one sequence that become one. */
interface Piece {
  readonly events: SequenceEvent[];
  chars: number;
  /** Where in the order of thoughts, text and calls it has come to. */
  place: number;
}

/**
 * The same answer in fewer events: what follows each other in one sequence is put together until it has `pieceChars` characters. Within
 * each of its streams (text, thoughts, calls, citations, log-probabilities) nothing changes its place, and neither do they among each
 * other: thoughts, text and calls are only put together in the order in which an event tells them. Tokens are counted, without their
 * numbers. Its time grows with the answer, and not faster: nobody else has a turn meanwhile.
 */
export function joinedEvents(events: readonly SequenceEvent[], pieceChars: number): readonly SequenceEvent[] {
  const pieces: Piece[] = [];
  // Sequences come mixed up with each other; each has a piece that still grows.
  const growing = new Map<number, Piece>();
  for (const event of events) {
    let piece = growing.get(event.index);
    if (piece === undefined || piece.chars >= pieceChars || !fits(piece, event)) {
      piece = { events: [], chars: 0, place: Number.NEGATIVE_INFINITY };
      pieces.push(piece);
      growing.set(event.index, piece);
    }
    piece.events.push(event);
    piece.chars += charsOf(event);
    if (event.kind === 'tokens') piece.place = Math.max(piece.place, lastPlace(event));
  }
  return pieces.map(({ events }) => joined(events));
}

/** All that a caller reads of them. */
export function charsOfAll(events: readonly SequenceEvent[]): number {
  return events.reduce((sum, event) => sum + charsOf(event), 0);
}

function fits({ events: [first], place }: Piece, next: SequenceEvent): boolean {
  if (next.kind === 'tokens') return first?.kind === 'tokens' && place <= firstPlace(next);
  return next.kind === 'echo' && first?.kind === 'echo';
}

/** @param events of one kind, at least one; several only of tokens, or of an echo. */
function joined(events: readonly SequenceEvent[]): SequenceEvent {
  const [first] = events as readonly [SequenceEvent];
  if (first.kind === 'tokens') return joinedTokens(first, events as readonly Tokens[]);
  if (events.length === 1 || first.kind !== 'echo') return first;
  const echoes = events as readonly Echo[];
  return { ...first, text: textOf(echoes, ({ text }) => text), logprobs: echoes.flatMap(({ logprobs }) => logprobs) };
}

function joinedTokens(first: Tokens, events: readonly Tokens[]): Tokens {
  const has = (field: keyof Tokens) => events.some((event) => event[field] !== undefined);
  return {
    kind: 'tokens',
    index: first.index,
    tokens: [],
    unnumbered: events.reduce((sum, { tokens, unnumbered = 0 }) => sum + tokens.length + unnumbered, 0),
    text: textOf(events, ({ text }) => text),
    ...(has('reasoning') && { reasoning: textOf(events, ({ reasoning = '' }) => reasoning) }),
    ...(has('calls') && { calls: joinedCalls(events.flatMap(({ calls = [] }) => calls)) }),
    ...(has('citations') && { citations: events.flatMap(({ citations = [] }) => citations) }),
    ...(has('logprobs') && { logprobs: events.flatMap(({ logprobs = [] }) => logprobs) }),
  };
}

function textOf<Event>(events: readonly Event[], text: (event: Event) => string): string {
  return events.map(text).join('');
}

/** The arguments of a call come bit by bit: bits of the same call become one. */
function joinedCalls(deltas: readonly CallDelta[]): readonly CallDelta[] {
  const joined: CallDelta[] = [];
  for (const delta of deltas) {
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
