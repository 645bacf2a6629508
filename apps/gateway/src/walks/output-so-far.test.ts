import { InferenceError, outputItemSchema, type ResponseBody, type ResponseEvent } from '@millrace/contracts';
import { describe, expect, it } from 'vitest';
import type { SequenceEvent } from '../vocabulary.js';
import { OutputSoFar } from './output-so-far.js';
import { emptyResponse } from './response-body.js';
import { ResponseEvents } from './response-events.js';

const model = { id: 'demo', samplingDefaults: {} };
const empty = emptyResponse({}, { model, sampling: {} } as never, { id: 'resp_1', createdAt: 1 });
const tokens = (piece: object): SequenceEvent => ({ kind: 'tokens', index: 0, tokens: [1], text: '', ...piece });
const SPOKEN: readonly SequenceEvent[] = [
  { kind: 'begun', index: 0, promptTokens: 3, cachedTokens: 1, waitedMs: 0 },
  tokens({ reasoning: 'Hm' }),
  tokens({ reasoning: 'm.' }),
  tokens({ text: 'Four ', logprobs: [{ token: 1, bytes: Buffer.from('Four '), logprob: -1, top: [] }] }),
  tokens({ text: 'metres.', citations: [{ start: 0, end: 4, sources: [] }] }),
  tokens({ calls: [{ index: 0, name: 'tide', arguments: '{"at"' }] }),
  tokens({ calls: [{ index: 0, arguments: ':1}' }] }),
  tokens({ calls: [{ index: 1, name: 'search', arguments: '{"queries":["x"]}' }] }),
  tokens({ text: 'So.' }),
];

describe('what came of a response that ended in the middle', () => {
  it.each(SPOKEN.map((_, at) => at + 1))(
    'is what its events told, up to the %i. thing that its model said',
    (count) => {
      const annotate = ({ start, end }: { readonly start: number; readonly end: number }) => [
        { type: 'url_citation' as const, start_index: start, end_index: end, title: 't', url: 'u' },
      ];
      const response = new ResponseEvents(empty, annotate, () => 'demo', 'search');
      const told = SPOKEN.slice(0, count).flatMap((event) => response.add(event));
      const before = structuredClone(told);
      const failure = response.fail(new InferenceError('worker_lost', 'Gone.'));

      const output = new OutputSoFar();
      const open = failure.filter(({ type }) => type !== 'response.output_item.done');
      for (const event of [...told, ...open]) output.add(event as ResponseEvent);

      const { response: failed } = failure.at(-1) as { readonly response: ResponseBody };
      // What is searched for is told when that is over, and not before.
      const expected = failed.output.map((item) =>
        item.type === 'file_search_call' ? { ...item, queries: [] } : item,
      );
      expect(output.items).toEqual(expected);
      for (const item of output.items) expect(outputItemSchema.parse(item)).toEqual(item);
      expect(told).toEqual(before);
    },
  );

  it('is nothing where nothing was told', () => {
    expect(new OutputSoFar().items).toEqual([]);
  });
});
