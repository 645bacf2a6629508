import type { ModelBody } from '@millrace/contracts';
import { describe, expect, it } from 'vitest';
import { banner, type KeysNeeded } from './banner.js';

const URL = 'http://127.0.0.1:8000';

function model(id: string, ...capabilities: ModelBody['capabilities']): ModelBody {
  return { id, object: 'model', created: 0, owned_by: 'millrace', context_length: 4_096, capabilities };
}

describe('what serve says when it is ready', () => {
  it('names every model, and what it can', () => {
    const text = banner(
      URL,
      [model('chatty', 'chat', 'completion'), model('vectors', 'embedding', 'rerank')],
      'nobody',
    );
    expect(text).toContain('Models   chatty (chat, completion; context 4,096 tokens)\n');
    expect(text).toContain('\n           vectors (embedding, rerank; context 4,096 tokens)\n');
    expect(banner(URL, [], 'nobody')).toContain('Models   none');
  });

  it('says of each model whether it is loaded, and nothing that is not known', () => {
    const later: ModelBody = { ...model('later', 'chat'), state: 'idle' };
    const broken: ModelBody = { ...model('broken'), context_length: undefined, state: 'failed' };
    const text = banner(URL, [{ ...model('here', 'chat'), state: 'loaded' }, later, broken], 'nobody');
    expect(text).toContain('Models   here (chat; context 4,096 tokens)\n');
    expect(text).toContain('\n           later (chat; context 4,096 tokens; loaded on first use)\n');
    expect(text).toContain('\n           broken (can not be loaded: the log says why)\n');
  });

  it.each([
    ['chat/completions', model('m', 'chat', 'completion')],
    ['completions', model('m', 'completion')],
    ['embeddings', model('m', 'embedding', 'rerank')],
    ['rerank', model('m', 'rerank')],
  ])('gives a request to %s where the chosen model answers that', (path, chosen) => {
    const [, asked, body] = /curl -sN (\S+) .* -d '(.*)'\n/.exec(banner(URL, [chosen], 'nobody'))!;
    expect(asked).toBe(`${URL}/v1/${path}`);
    expect(JSON.parse(body!)).toMatchObject({ model: 'm' });
  });

  it('asks for a key where one is needed, and says how the first is made', () => {
    const line = (keys: KeysNeeded) => /curl.*/.exec(banner(URL, [model('m', 'chat')], keys))![0];
    expect(line('nobody')).not.toContain('Authorization');
    expect(line('everybody')).toContain(` -H "Authorization: Bearer $MILLRACE_API_KEY" -H 'Content-Type`);
    expect(line('the first is to be made')).toBe(line('everybody'));
    expect(banner(URL, [], 'everybody')).not.toContain('keys create');
    expect(banner(URL, [], 'the first is to be made')).toContain('millrace keys create me --quiet');
  });
});
