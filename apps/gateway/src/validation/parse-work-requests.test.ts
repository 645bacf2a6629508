import type { ModelDescription } from '@millrace/contracts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ModelCatalog } from './model-catalog.js';
import { parseEmbedRequest } from './parse-embed-request.js';
import { parseRerankRequest } from './parse-rerank-request.js';
import { parseDetokenizeRequest, parseTemplateRequest, parseTokenizeRequest } from './parse-tokenize-request.js';

const model: ModelDescription = {
  id: 'all',
  aliases: [],
  capabilities: ['chat', 'completion', 'embedding', 'rerank'],
  contextLength: 8192,
  engine: 'none',
  created: 0,
  samplingDefaults: {},
  isDefault: false,
};
const models = new ModelCatalog(() => [model]);

const PARSERS = {
  embeddings: parseEmbedRequest,
  rerank: parseRerankRequest,
  tokenize: parseTokenizeRequest,
  detokenize: parseDetokenizeRequest,
  'apply-template': parseTemplateRequest,
};

describe('a body that nobody has looked at yet', () => {
  const names = [
    'input',
    'dimensions',
    'query',
    'documents',
    'top_n',
    'content',
    'messages',
    'tokens',
    'tools',
    'model',
  ];
  const body = fc.dictionary(fc.constantFrom(...names), fc.jsonValue());

  it.each(Object.entries(PARSERS))('is a valid request or a refusal, and nothing else: %s', (_name, parse) => {
    fc.assert(
      fc.property(fc.oneof(fc.jsonValue(), body), (anything) => {
        try {
          expect(parse(anything, models).model).toBe(model);
        } catch (error) {
          expect(error).toMatchObject({ name: 'InferenceError', message: expect.stringMatching(/^.{5,500}$/s) });
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('the input of an embeddings request', () => {
  const text = fc.string({ minLength: 1, unit: 'grapheme' });
  const tokens = fc.array(fc.nat(), { minLength: 1 });
  const input = fc.oneof(text, tokens, fc.array(text, { minLength: 1 }), fc.array(tokens, { minLength: 1 }));

  it('is one text, several, one list of tokens or several, and goes on in its order', () => {
    fc.assert(
      fc.property(input, (given) => {
        const { inputs } = parseEmbedRequest({ input: given }, models);
        const alone = typeof given === 'string' || typeof given[0] === 'number';
        expect(inputs.map((one) => (one.kind === 'text' ? one.text : one.tokens))).toEqual(alone ? [given] : given);
      }),
    );
  });
});
