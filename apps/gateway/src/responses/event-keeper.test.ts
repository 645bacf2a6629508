import { InferenceError, type ResponseEvent } from '@millrace/contracts';
import { describe, expect, it } from 'vitest';
import { EventKeeper } from './event-keeper.js';
import type { BegunRun } from './response-runs.js';

const run = { id: 'resp_1', attempt: 1 } as BegunRun;

function event(sequence_number: number): ResponseEvent {
  const place = { item_id: 'msg_1', output_index: 0, content_index: 0 };
  return { type: 'response.output_text.delta', sequence_number, ...place, delta: 'x', logprobs: [] };
}

describe('the events of a run', () => {
  it('are kept to the last of them where it is told why it ends: none is missing before that', async () => {
    const kept: number[] = [];
    const runs = {
      keepEvents: async (_run: BegunRun, events: readonly ResponseEvent[]) => {
        kept.push(...events.map(({ sequence_number }) => sequence_number));
        return true;
      },
    };
    const ending = new AbortController();
    const keeper = new EventKeeper(runs, run, () => {}, ending.signal);
    await keeper.add([event(0)]);
    ending.abort(new InferenceError('invalid_api_key', 'The key is valid no more.'));
    await keeper.add([event(1)]);
    await expect.poll(() => kept).toEqual([0, 1]);
    await keeper.add([event(2)]);
    expect([...kept, ...(await keeper.rest()).map(({ sequence_number }) => sequence_number)]).toEqual([0, 1, 2]);
  });
});
