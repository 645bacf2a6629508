import { InferenceError, type ResponseEvent } from '@millrace/contracts';
import { describe, expect, it } from 'vitest';
import type { BegunRun } from '../responses/response-runs.js';
import { answer, responseOf } from '../responses/responses.testing.js';
import { ToldResponse } from './told-response.js';

const response = responseOf({ status: 'in_progress', background: true });
const completed = { ...response, status: 'completed' as const, output: [answer('Yes.')] };

function runOf(changes: Partial<BegunRun> = {}): BegunRun {
  const request = { body: {} };
  return {
    id: response.id,
    owner: undefined,
    request,
    response,
    streamed: true,
    attempt: 1,
    putBack: 0,
    lastNumber: 1,
    remainingMs: 1,
    ...changes,
  };
}

const delta = (sequence_number: number): ResponseEvent => ({
  type: 'response.reasoning_text.delta',
  sequence_number,
  item_id: 'rs_1',
  output_index: 0,
  content_index: 0,
  delta: 'x',
});
/** As a response in the foreground is told. */
const OPENING: ResponseEvent[] = [
  { type: 'response.created', sequence_number: 0, response },
  { type: 'response.in_progress', sequence_number: 1, response },
];
const numbers = (events: readonly ResponseEvent[]) => events.map(({ sequence_number }) => sequence_number);

describe('what is told of a response in the background', () => {
  it('goes on behind what was told when it was made', () => {
    const told = new ToldResponse(runOf());
    const kept = told.add([...OPENING, delta(2)]);
    expect(kept.map(({ type }) => type)).toEqual(['response.in_progress', 'response.reasoning_text.delta']);
    expect(numbers(kept)).toEqual([2, 3]);
    expect([told.isSeen, told.hasEnded]).toEqual([true, false]);
  });

  it('has its end apart, with whatever comes behind it', () => {
    const told = new ToldResponse(runOf());
    expect(numbers(told.add([...OPENING, delta(2)]))).toEqual([2, 3]);
    expect(told.add([{ type: 'response.completed', sequence_number: 3, response: completed }])).toEqual([]);
    expect(told.hasEnded).toBe(true);
    const { response: ended, events } = told.ended([delta(3)]);
    expect(ended).toBe(completed);
    expect(numbers(events)).toEqual([3, 4]);
  });

  it('fails behind what came before it, and tells nothing behind the end of its stream', () => {
    const told = new ToldResponse(runOf());
    told.add([...OPENING, delta(2)]);
    expect(numbers(told.failed(new Error('broken'), [delta(3)]).events)).toEqual([3, 4, 5]);
    told.isStreamOver = true;
    expect(told.failed(new Error('broken'), [delta(3)])).toMatchObject({
      response: { status: 'failed' },
      events: [delta(3)],
    });
    told.add([{ type: 'response.completed', sequence_number: 3, response: completed }]);
    expect(told.ended([delta(3)])).toEqual({ kind: 'ended', response: completed, events: [delta(3)] });
  });

  it('is not told twice when it is begun again, and nothing of it had been seen', () => {
    const told = new ToldResponse(runOf({ attempt: 2, lastNumber: 2 }));
    expect(told.isSeen).toBe(false);
    expect(numbers(told.add([...OPENING, delta(2)]))).toEqual([3]);
  });

  it('fails with numbers that go on from what was told', () => {
    const told = new ToldResponse(runOf());
    told.add([...OPENING, delta(2)]);
    const { response: ended, events } = told.failed(new InferenceError('model_not_ready', 'Nobody is there.'));
    expect(ended).toMatchObject({ status: 'failed', error: { code: 'server_error', message: 'Nobody is there.' } });
    expect(events).toMatchObject([
      { type: 'error', sequence_number: 4, code: 'model_not_ready' },
      { type: 'response.failed', sequence_number: 5 },
    ]);
  });

  it('fails with what came until then, in this attempt or in one before', () => {
    const message = { type: 'message', id: 'msg_1', role: 'assistant', status: 'in_progress', content: [] } as const;
    const place = { item_id: 'msg_1', output_index: 0, content_index: 0 };
    const part = { type: 'output_text', text: '', annotations: [], logprobs: [] } as const;
    const answered: ResponseEvent[] = [
      { type: 'response.output_item.added', sequence_number: 2, output_index: 0, item: { ...message, content: [] } },
      { type: 'response.content_part.added', sequence_number: 3, ...place, part: structuredClone(part) as never },
      { type: 'response.output_text.delta', sequence_number: 4, ...place, delta: 'Four ', logprobs: [] },
    ];
    const output = [{ ...message, status: 'incomplete', content: [{ ...part, text: 'Four ' }] }];
    const why = new InferenceError('deadline_exceeded', 'Too late.');

    const told = new ToldResponse(runOf());
    told.add([...OPENING, ...answered]);
    expect(told.failed(why).response.output).toEqual(output);

    const again = new ToldResponse(runOf({ attempt: 2, lastNumber: 5 }));
    again.recall(answered);
    const { response: ended, events } = again.failed(why);
    expect(ended.output).toEqual(output);
    expect(events.at(-1)).toMatchObject({ type: 'response.failed', sequence_number: 7, response: { output } });
  });

  it('tells nothing behind a stream that was too long to be kept', () => {
    const error = { type: 'requests', code: 'response_too_large', message: 'Too long.', param: null };
    const told = new ToldResponse(runOf({ attempt: 2, lastNumber: 5 }));
    told.recall([{ type: 'error', sequence_number: 5, code: error.code, message: error.message, param: null, error }]);
    expect(told.failed(new InferenceError('answer_broken_off', 'Gone.')).events).toEqual([]);
  });

  it('knows why it failed, and that nobody reads what is not kept', () => {
    const told = new ToldResponse(runOf({ streamed: false }));
    const error = { type: 'requests', code: 'rate_limit_exceeded', message: 'Later.', param: null };
    const failed = { ...response, status: 'failed' as const };
    told.add([...OPENING, delta(2)]);
    told.add([
      { type: 'error', sequence_number: 3, code: error.code, message: error.message, param: null, error },
      { type: 'response.failed', sequence_number: 4, response: failed },
    ]);
    expect(told.error).toMatchObject({ code: 'rate_limit_exceeded', message: 'Later.' });
    expect([told.isSeen, told.hasEnded]).toEqual([false, true]);
  });
});
