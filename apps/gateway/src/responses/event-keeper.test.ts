import { InferenceError, type ResponseEvent } from '@millrace/contracts';
import { describe, expect, it } from 'vitest';
import { EventKeeper } from './event-keeper.js';
import type { BegunRun } from './response-runs.js';

const run = { id: 'resp_1', attempt: 1 } as BegunRun;

function event(sequence_number: number): ResponseEvent {
  const place = { item_id: 'msg_1', output_index: 0, content_index: 0 };
  return { type: 'response.output_text.delta', sequence_number, ...place, delta: 'x', logprobs: [] };
}

function keeping(kept: number[], eventsBytesMax = 1_000_000) {
  const keepEvents = async (_run: BegunRun, events: readonly ResponseEvent[]) => {
    kept.push(...events.map(({ sequence_number }) => sequence_number));
    return true;
  };
  return { keepEvents, eventsBytesMax };
}

describe('the events of a run', () => {
  it('beyond as many as are kept are not, and the first of them is an error that says so', async () => {
    const kept: number[] = [];
    const bytes = Buffer.byteLength(JSON.stringify(event(0)));
    const keeper = new EventKeeper(keeping(kept, 2 * bytes), run, () => {}, new AbortController().signal);
    await keeper.add([event(0), event(1)]);
    expect(keeper.isFull).toBe(false);
    await keeper.add([event(2)]);
    await keeper.add([event(3)]);
    expect(keeper.isFull).toBe(true);
    const rest = await keeper.rest();
    expect(rest.at(-1)).toMatchObject({ type: 'error', code: 'response_too_large' });
    expect([...kept, ...rest.map(({ sequence_number }) => sequence_number)]).toEqual([0, 1, 2]);
  });

  it('are kept to the last of them where it is told why it ends: none is missing before that', async () => {
    const kept: number[] = [];
    const ending = new AbortController();
    const keeper = new EventKeeper(keeping(kept), run, () => {}, ending.signal);
    await keeper.add([event(0)]);
    ending.abort(new InferenceError('invalid_api_key', 'The key is valid no more.'));
    await keeper.add([event(1)]);
    await expect.poll(() => kept).toEqual([0, 1]);
    await keeper.add([event(2)]);
    expect([...kept, ...(await keeper.rest()).map(({ sequence_number }) => sequence_number)]).toEqual([0, 1, 2]);
  });
});
