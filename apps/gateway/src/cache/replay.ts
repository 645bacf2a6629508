import { setImmediate as nextTurn } from 'node:timers/promises';
import type { SequenceEvent } from '../vocabulary.js';
import type { KeptAnswer } from './kept-answer.js';

/** What is there already comes without a wait: after so many events others have their turn. */
export const EVENTS_PER_TURN = 64;

/** A kept answer once more: the first event at once, the others as they are asked for. */
export async function* replay({ events }: KeptAnswer, signal: AbortSignal): AsyncGenerator<SequenceEvent> {
  let sent = 0;
  for (const event of events) {
    signal.throwIfAborted();
    yield event;
    if (++sent % EVENTS_PER_TURN === 0) await nextTurn();
  }
}
