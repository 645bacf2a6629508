import { CHAT_PARAMETERS, type ModelDescription, TEXT_PARAMETERS } from '@millrace/contracts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ModelCatalog } from './model-catalog.js';
import { parseChatRequest } from './parse-chat-request.js';
import { parseTextRequest } from './parse-text-request.js';

function model(id: string, changes: Partial<ModelDescription> = {}): ModelDescription {
  const capabilities = ['chat', 'completion'] as const;
  const plain = {
    aliases: [],
    contextLength: 8192,
    engine: 'none',
    created: 0,
    samplingDefaults: {},
    isDefault: false,
  };
  return { id, capabilities, ...plain, ...changes };
}

const catalog = (...models: ModelDescription[]) => new ModelCatalog(() => models);
const one = catalog(model('demo'));
const messages = [{ role: 'user', content: 'hi' }];
const parse = (changes: Record<string, unknown>, models = one) => parseChatRequest({ messages, ...changes }, models);

describe('parseChatRequest', () => {
  it('reads null as not set, as OpenAI’s clients send it', () => {
    const names = ['model', 'stream', 'stream_options', 'max_tokens', 'temperature', 'top_p', 'seed', 'stop', 'tools'];
    const request = parse(
      Object.fromEntries([...names, 'n', 'logprobs', 'response_format'].map((name) => [name, null])),
    );
    expect(request).toMatchObject({ stream: false, includeUsage: false, stop: [] });
    expect(Object.values(request.sampling).every((value) => value === undefined)).toBe(true);
  });

  it('accepts refused parameters whose value asks for nothing', () => {
    expect(() =>
      parse({ n: 1, logprobs: false, logit_bias: {}, response_format: { type: 'text' }, modalities: ['text'] }),
    ).not.toThrow();
  });

  it.each([
    [5, 5],
    [-1, 0xffff_ffff],
    [2 ** 32 + 7, 7],
    [Number.MAX_SAFE_INTEGER, 0xffff_ffff],
    [2 ** 63, 0x8000_0000],
    [-(2 ** 63), 0x8000_0000],
    [5 * 2 ** 60 + 2 ** 40, 0x5000_0100],
    [undefined, undefined],
  ])('reduces the seed %s to 32 bits', (seed, reduced) => {
    expect(parse({ seed }).sampling.seed).toBe(reduced);
  });

  it.each([
    ['END', ['END']],
    [
      ['a', 'b'],
      ['a', 'b'],
    ],
    [[], []],
  ])('takes the stop %j', (stop, read) => {
    expect(parse({ stop }).stop).toEqual(read);
  });

  it.each([
    [1e-50, 1e-6],
    [0.5, 0.5],
    [null, undefined],
  ])('reads the top_p %s as one that survives 32 bits', (topP, read) => {
    expect(parse({ top_p: topP }).sampling.topP).toBe(read);
  });

  it.each(['repeat_penalty', 'repetition_penalty'])('reads a %s near 0 as one that survives 32 bits', (name) => {
    expect(Math.fround(parse({ [name]: 1e-60 }).sampling.repeatPenalty!)).toBeGreaterThan(0);
  });

  it.each(['', [{ type: 'text', text: '' }]])('takes an answer back that was empty: %j', (content) => {
    const conversation = [...messages, { role: 'assistant', content }, ...messages];
    expect(parse({ messages: conversation }).prompts[0]).toMatchObject({ messages: { 1: { content: '' } } });
  });

  it('keeps template variables and the parameters of tools as they are', () => {
    const tool = { type: 'function', function: { name: 'f', parameters: { type: 'object', a: [1, { b: null }] } } };
    expect(parse({ tools: [tool], chat_template_kwargs: { enable: { deep: [true] } } }).prompts[0]).toMatchObject({
      tools: [tool],
      templateVariables: { enable: { deep: [true] } },
    });
  });

  it('lets max_completion_tokens win over max_tokens', () => {
    expect(parse({ max_tokens: 9, max_completion_tokens: 5 }).maxTokens).toBe(5);
    expect(parse({ max_tokens: 9 }).maxTokens).toBe(9);
  });

  it('keeps an assistant’s tool calls and a tool’s answer', () => {
    const call = { id: 'call_1', type: 'function', function: { name: 'f', arguments: '{}' } };
    const conversation = [
      ...messages,
      { role: 'assistant', content: null, tool_calls: [call] },
      { role: 'tool', content: 'done', tool_call_id: 'call_1' },
    ];
    expect(parse({ messages: conversation }).prompts[0]).toMatchObject({ kind: 'chat', messages: conversation });
  });

  it('never throws anything but a refusal, whatever it is given', () => {
    const parsers = [
      [parseChatRequest, CHAT_PARAMETERS, { messages }],
      [parseTextRequest, TEXT_PARAMETERS, { prompt: 'hi' }],
    ] as const;
    for (const [parse, parameters, least] of parsers) {
      const body = fc.dictionary(fc.constantFrom('other', ...Object.keys(parameters)), fc.jsonValue(), { maxKeys: 3 });
      fc.assert(
        fc.property(fc.oneof(fc.jsonValue(), body), fc.boolean(), (anything, valid) => {
          try {
            parse(valid ? { ...least, ...(anything as object) } : anything, one);
          } catch (error) {
            expect(error).toMatchObject({ name: 'InferenceError', message: expect.stringMatching(/^.{5,500}$/s) });
          }
        }),
        { numRuns: 500 },
      );
    }
  });
});

describe('the model of a request', () => {
  it('is the only one, or the default, when it names none', () => {
    expect(parse({}).model.id).toBe('demo');
    expect(parse({}, catalog(model('a'), model('b', { isDefault: true }))).model.id).toBe('b');
    expect(() => parse({}, catalog(model('a'), model('b')))).toThrow('`model` is required: 2 models do chat');
  });

  it('is found by an alias, and an id comes before an alias', () => {
    const models = catalog(model('a', { aliases: ['b', 'c'] }), model('b'));
    expect(parse({ model: 'c' }, models).model.id).toBe('a');
    expect(parse({ model: 'b' }, models).model.id).toBe('b');
  });

  it('must be able to do what is asked', () => {
    const models = catalog(model('vectors', { capabilities: ['embedding'] }));
    expect(() => parse({}, models)).toThrow('None of the models served does chat: `vectors` does embedding.');
    expect(() => parse({ model: 'vectors' }, models)).toThrow('The model `vectors` does not do chat');
  });
});
