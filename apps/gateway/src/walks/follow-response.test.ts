import { InferenceError, type ResponseEvent } from '@millrace/contracts';
import { describe, expect, it } from 'vitest';
import { ResponseNews } from '../responses/response-news.js';
import type { EventPage } from '../responses/response-runs.js';
import { DatabaseUnavailable } from '../stores/sql-database.js';
import { FollowResponse } from './follow-response.js';

function event(sequence_number: number): ResponseEvent {
  const place = { item_id: 'msg_1', output_index: 0, content_index: 0 };
  return { type: 'response.output_text.delta', sequence_number, ...place, delta: 'x', logprobs: [] };
}

type Found = EventPage | undefined | Error;

async function told(
  pages: readonly Found[],
  after = -1,
  opening: readonly ResponseEvent[] = [],
): Promise<ResponseEvent[]> {
  const left = [...pages];
  const events = async () => {
    const page = left.shift();
    if (page instanceof Error) throw page;
    return page;
  };
  const follow = new FollowResponse({ events }, new ResponseNews());
  const all: ResponseEvent[] = [];
  const { signal } = new AbortController();
  for await (const some of follow.run('resp_1', undefined, after, signal, opening)) all.push(...some);
  return all;
}

const AWAY = new DatabaseUnavailable('The database at test can not be asked: it is away.');
const STOPS = new InferenceError('shutting_down', 'This server stopped before the answer was complete.');

const BEGUN: EventPage = { events: [event(0), event(1)], more: true, status: 'in_progress' };
const CANCELLED: EventPage = { events: [], more: false, status: 'cancelled' };

describe('the stream of a response that ends under its reader', () => {
  it('tells so as its next event, so that nobody who goes on behind it begins anew', async () => {
    const last = { type: 'error', sequence_number: 2 };
    expect((await told([BEGUN, CANCELLED])).at(-1)).toMatchObject({ ...last, code: 'response_cancelled' });
    expect((await told([BEGUN, undefined])).at(-1)).toMatchObject({ ...last, code: 'response_not_found' });
  });

  it('is an error with a status of its own where nothing was told', async () => {
    await expect(told([CANCELLED], 1)).rejects.toMatchObject({ code: 'response_cancelled' });
    await expect(told([undefined])).rejects.toMatchObject({ code: 'response_not_found' });
  });
});

describe('the stream of a response that goes on without its reader', () => {
  it.each([
    ['the database is away', AWAY, 'store_unavailable'],
    ['the gateway stops', STOPS, 'shutting_down'],
  ])('ends where %s with an error that takes the number of no event, and says how to read on', async (_, why, code) => {
    const last = (await told([BEGUN, why])).at(-1);
    expect(last).toMatchObject({ type: 'error', sequence_number: 1, code });
    expect(last).toMatchObject({
      message: expect.stringContaining('GET /v1/responses/resp_1?stream=true&starting_after=1'),
    });
    expect(last).not.toMatchObject({ message: expect.stringMatching(/send the request again/i) });
  });

  it('does so too where nothing but its opening was told', async () => {
    const all = await told([AWAY], 1, [event(0), event(1)]);
    expect(all.map(({ type }) => type).slice(-1)).toEqual(['error']);
    expect(all.map(({ sequence_number }) => sequence_number)).toEqual([0, 1, 1]);
  });

  it('is a 503 where nothing was told yet', async () => {
    await expect(told([AWAY], 7)).rejects.toMatchObject({ code: 'store_unavailable' });
  });
});
