import type { ResponseEvent } from '@millrace/contracts';
import { describe, expect, it } from 'vitest';
import { ResponseNews } from '../responses/response-news.js';
import type { EventPage } from '../responses/response-runs.js';
import { FollowResponse } from './follow-response.js';

function event(sequence_number: number): ResponseEvent {
  const place = { item_id: 'msg_1', output_index: 0, content_index: 0 };
  return { type: 'response.output_text.delta', sequence_number, ...place, delta: 'x', logprobs: [] };
}

async function told(pages: readonly (EventPage | undefined)[], after = -1): Promise<ResponseEvent[]> {
  const left = [...pages];
  const follow = new FollowResponse({ events: async () => left.shift() }, new ResponseNews());
  const all: ResponseEvent[] = [];
  for await (const events of follow.run('resp_1', undefined, after, new AbortController().signal)) all.push(...events);
  return all;
}

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
