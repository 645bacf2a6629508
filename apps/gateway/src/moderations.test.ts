import { MODERATION_CATEGORIES } from '@millrace/contracts';
import type OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FakeWorkerOptions } from './dispatch/fake-worker.testing.js';
import { TestBed } from './gateway.testing.js';

/** Judges by what the text says of itself: it is a fake. */
const guards: FakeWorkerOptions = {
  models: [
    { id: 'llama-guard', contextLength: 64 },
    { id: 'chatty', isDefault: true },
    { id: 'vectors', capabilities: ['embedding'] },
  ],
  script: ({ model, prompt }) => {
    if (model === 'chatty') return { answer: ['I ', 'would ', 'say ', 'it ', 'is ', 'fine.'] };
    const { messagesJson } = (prompt as { value: { messagesJson: string } }).value;
    const [{ content }] = JSON.parse(messagesJson) as [{ content: string }];
    if (content.includes('too long'))
      return {
        failure: {
          code: 'context_length_exceeded',
          message: 'The prompt has 70 tokens; this model accepts 64.',
          param: 'messages',
        },
      };
    const [, codes] = /bad:(\S+)/.exec(content) ?? [];
    return { answer: codes === undefined ? ['\n\n', 'safe'] : ['\n\n', 'unsafe', '\n', codes] };
  },
};

let bed: TestBed;
beforeAll(async () => {
  bed = await TestBed.start({ moderationModel: 'llama-guard' }, [guards]);
});
afterAll(() => bed[Symbol.asyncDispose]());

const moderate = (input: OpenAI.ModerationCreateParams['input'], model?: string) =>
  bed.client.moderations.create({ input, ...(model !== undefined && { model }) });
const flaggedIn = ({ categories }: OpenAI.Moderation) =>
  Object.entries(categories).flatMap(([name, flagged]) => (flagged ? [name] : []));

describe('moderations', () => {
  it('judge a text in all of OpenAI’s categories', async () => {
    const { id, model, results } = await moderate('bad:S1,S10');
    expect(id).toMatch(/^modr-[0-9a-f]{24}$/);
    expect(model).toBe('llama-guard');
    expect(results).toHaveLength(1);
    const [result] = results;
    expect(result!.flagged).toBe(true);
    expect(flaggedIn(result!).sort()).toEqual(['hate', 'illicit/violent', 'violence']);
    for (const part of ['categories', 'category_scores', 'category_applied_input_types'] as const)
      expect(Object.keys(result![part])).toEqual([...MODERATION_CATEGORIES]);
    expect(result!.category_scores).toMatchObject({ hate: 1, violence: 1, sexual: 0 });
    expect(result).toMatchObject({ guard_score: 1, guard_categories: ['S1', 'S10'] });
  });

  it('flag nothing of what is safe', async () => {
    const [result] = (await moderate('Good morning.')).results;
    expect(result!.flagged).toBe(false);
    expect(flaggedIn(result!)).toEqual([]);
    expect(Math.max(...Object.values(result!.category_scores))).toBe(0);
    expect(result).toMatchObject({ guard_score: 0, guard_categories: [] });
  });

  it('flag what the model calls unsafe though OpenAI has no category for it', async () => {
    const [result] = (await moderate('bad:S6')).results;
    expect([result!.flagged, flaggedIn(result!)]).toEqual([true, []]);
    expect(result).toMatchObject({ guard_categories: ['S6'] });
  });

  it('judge each of several texts, in their order, as one request', async () => {
    const before = bed.records().length;
    const { results } = await moderate(['fine', 'bad:S12', '', 'bad:S2']);
    expect(results.map(flaggedIn)).toEqual([[], ['sexual'], [], ['illicit']]);
    await expect.poll(() => bed.records().length).toBe(before + 1);
    expect(bed.records().at(-1)).toMatchObject({ endpoint: 'moderations', model: 'llama-guard', outcome: 'served' });
  });

  it('judge parts as one text', async () => {
    const parts = [
      { type: 'text', text: 'one' },
      { type: 'text', text: 'bad:S4' },
    ] as const;
    const { results } = await moderate([...parts]);
    expect(results.map(flaggedIn)).toEqual([['sexual', 'sexual/minors']]);
    const { messagesJson } = (bed.worker.started.at(-1)!.prompt as { value: { messagesJson: string } }).value;
    expect(JSON.parse(messagesJson)).toEqual([{ role: 'user', content: 'one\nbad:S4' }]);
  });

  it('ask the configured model where OpenAI’s own is named', async () => {
    for (const model of ['omni-moderation-latest', 'text-moderation-stable'])
      expect((await moderate('x', model)).model).toBe('llama-guard');
  });

  it('ask the model that is named', async () => {
    expect((await moderate('x', 'llama-guard')).model).toBe('llama-guard');
    await expect(moderate('x', 'nobody')).rejects.toMatchObject({ status: 404, code: 'model_not_found' });
    await expect(moderate('x', 'vectors')).rejects.toMatchObject({ status: 400, code: 'generation_not_supported' });
  });

  it('have no chances but 0 and 1 where the server behind the model refuses to tell them, and ask it so from then on', async () => {
    await using other = await TestBed.start({ moderationModel: 'llama-guard' }, [
      {
        ...guards,
        script: (start, answer) =>
          start.logprobs === undefined
            ? guards.script!(start, answer)
            : {
                failure: {
                  code: 'unsupported_parameter',
                  message: "`top_logprobs` can't be honoured by the server behind this model (ollama).",
                  param: 'top_logprobs',
                },
              },
      },
    ]);
    for (const asked of [2, 3]) {
      const { results } = await other.client.moderations.create({ input: 'bad:S1' });
      expect(results).toMatchObject([{ flagged: true, guard_score: 1, category_scores: { violence: 1 } }]);
      expect(other.worker.started).toHaveLength(asked);
    }
  });

  it('are refused where the model gives no verdict', async () => {
    await expect(moderate('x', 'chatty')).rejects.toMatchObject({
      status: 400,
      code: 'moderation_not_supported',
      param: 'model',
      error: { message: expect.stringMatching(/^The model chatty said neither/) },
    });
  });

  it('are recorded as refused where the model that was named gives no verdict', async () => {
    const before = bed.records().length;
    await expect(moderate('x', 'chatty')).rejects.toThrow();
    await expect.poll(() => bed.records().length).toBe(before + 1);
    expect(bed.records().at(-1)).toMatchObject({
      outcome: 'rejected',
      code: 'moderation_not_supported',
      status: 400,
      completionTokens: 7,
    });
  });

  it('fail where the configured model gives no verdict, and are recorded so', async () => {
    await using other = await TestBed.start({ moderationModel: 'chatty' }, [guards]);
    await expect(other.client.moderations.create({ input: 'x' })).rejects.toMatchObject({
      status: 502,
      code: 'no_verdict',
      param: null,
      error: { message: expect.stringMatching(/^The model chatty said neither.*the text was not judged/) },
    });
    await expect.poll(() => other.records().length).toBe(1);
    expect(other.records()[0]).toMatchObject({ outcome: 'failed', code: 'no_verdict', status: 502 });
    expect(other.worker.started).toHaveLength(1);
  });

  it('name the input where it is too long', async () => {
    await expect(moderate(['x', 'too long'])).rejects.toMatchObject({
      status: 400,
      code: 'context_length_exceeded',
      param: 'input',
    });
  });

  it.each<[string, object, string, RegExp]>([
    ['nothing', {}, 'input', /required/],
    ['null', { input: null }, 'input', /null/],
    ['a number', { input: 5 }, 'input', /5/],
    ['an empty list', { input: [] }, 'input', /./],
    ['a list of numbers', { input: [1] }, 'input[0]', /./],
    ['a text and a number', { input: ['a', 1] }, 'input[1]', /./],
    [
      'an image',
      { input: [{ type: 'image_url', image_url: { url: 'data:' } }] },
      'input[0]',
      /only text is judged here/,
    ],
    [
      'an image behind a text',
      { input: [{ type: 'text', text: 'a' }, { type: 'image_url' }] },
      'input[1]',
      /only text/,
    ],
    ['a part of an unknown type', { input: [{ type: 'video' }] }, 'input[0].type', /video/],
    ['a part without text', { input: [{ type: 'text' }] }, 'input[0].text', /required/],
    ['texts and parts', { input: ['a', { type: 'text', text: 'b' }] }, 'input', /both texts and parts/],
    ['too many texts', { input: Array.from({ length: 129 }, () => 'a') }, 'input', /129/],
    ['half a character', { input: '\ud800' }, 'input', /./],
    ['a model that is a number', { input: 'a', model: 5 }, 'model', /5/],
    ['an unknown parameter', { input: 'a', user: 'me' }, 'user', /Unrecognized/],
    ['a list as the body', [], '', /must be a JSON object/],
  ])('refuse %s', async (_, body, param, message) => {
    const response = await bed.post('/v1/moderations', body);
    const { error } = (await response.json()) as { error: { message: string; param: string | null } };
    expect([response.status, error.param ?? '']).toEqual([400, param]);
    expect(error.message).toMatch(message);
  });
});

describe('a configured model that is not served', () => {
  it('is said to be the one that is configured', async () => {
    await using other = await TestBed.start({ moderationModel: 'gone' }, [guards]);
    await expect(other.client.moderations.create({ input: 'x' })).rejects.toMatchObject({
      status: 404,
      code: 'model_not_found',
      param: null,
      error: { message: expect.stringMatching(/`gone`.*It is the one that `moderationModel` names here/) },
    });
  });
});

describe('without a model that judges', () => {
  it('moderations are a 400 that says how to configure one', async () => {
    await using other = await TestBed.start({}, [guards]);
    for (const model of [undefined, 'omni-moderation-latest'])
      await expect(other.client.moderations.create({ input: 'x', ...(model && { model }) })).rejects.toMatchObject({
        status: 400,
        code: 'moderation_not_supported',
        error: { message: expect.stringContaining('`moderationModel`') },
      });
    expect((await other.client.moderations.create({ input: 'x', model: 'llama-guard' })).results).toHaveLength(1);
  });
});
