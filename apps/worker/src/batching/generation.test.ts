import type { AnswerRequest, Prompt } from '@millrace/contracts';
import { afterEach, describe, expect, it } from 'vitest';
import { collect, isIdle, NEVER, openBench, type TestBench, textRequest, tokensRead } from './batching.testing.js';

let bench: TestBench;
afterEach(() => bench.engine.close());

/** Until a step is under way that the bench was told to hold, with as many sequences waiting meanwhile. */
async function untilHeld(step: number, waiting = 0): Promise<void> {
  await expect.poll(() => [bench.steps.length, bench.engine.load().waiting]).toEqual([step, waiting]);
}

const ask = (text: string, more: Partial<AnswerRequest> = {}) =>
  collect(bench.engine.answer(textRequest(text, more), NEVER));

describe('prompt reuse', () => {
  it('reads only what is new of a conversation that goes on, and says how much it found', async () => {
    bench = openBench({ says: () => 'yes' }, { prefillChunkTokens: 512 });
    const first = await ask('a'.repeat(100));
    expect(first.finished!.usage.cachedTokens).toBe(0);

    const before = tokensRead(bench);
    const next = await ask(`${'a'.repeat(100)}yes and more`);
    // The place holds the prompt and "yes"; the end token was chosen, but never read.
    expect(next.finished!.usage).toMatchObject({ promptTokens: 112, cachedTokens: 103 });
    expect(next.events[0]).toMatchObject({ kind: 'begun', cachedTokens: 103 });
    expect(tokensRead(bench) - before).toBe(9 + 'yes'.length);
    expect(bench.observer.decisions).toContain('reused');
    expect(bench.observer.cachedTokens).toBe(103);
  });

  it('shares a beginning with a place that somebody runs in', async () => {
    bench = openBench({}, { prefillChunkTokens: 512 });
    const system = 's'.repeat(200);
    const goOn = bench.holdAt(2);
    const running = ask(`${system}one`, { maxTokens: 60 });
    await untilHeld(2);
    const sharing = ask(`${system}two`, { maxTokens: 5 });
    await untilHeld(2, 1);
    goOn();
    const { finished } = await sharing;
    expect(finished!.usage.cachedTokens).toBe(200);
    expect(bench.observer.decisions).toContain('copied');
    await running;
  });

  it('answers the same whether a prompt was found or read', async () => {
    bench = openBench();
    const request = { maxTokens: 30, sampling: { temperature: 1, seed: 3 } };
    const read = await ask('x'.repeat(90), request);
    const found = await ask('x'.repeat(90), request);
    expect(found.text).toBe(read.text);
    expect(found.finished!.usage.cachedTokens).toBe(89);
  });

  it('reads everything again when a copy fails, and says so', async () => {
    bench = openBench({}, { prefillChunkTokens: 512 });
    bench.tokenEngine.copy = () => Promise.reject(new Error('no memory for a copy'));
    const goOn = bench.holdAt(2);
    const running = ask('s'.repeat(200), { maxTokens: 60 });
    await untilHeld(2);
    const failing = ask(`${'s'.repeat(200)}two`, { maxTokens: 5 });
    await untilHeld(2, 1);
    goOn();
    const { finished, text } = await failing;
    expect(finished!.usage.cachedTokens).toBe(0);
    expect(bench.observer.decisions).not.toContain('copied');
    await running;
    expect((await ask(`${'s'.repeat(200)}two`, { maxTokens: 5 })).text).toBe(text);
  });

  it('does not call it ageing when one of high priority waits for what another reads', async () => {
    bench = openBench();
    const goOn = bench.holdAt(1);
    const reader = ask('s'.repeat(120), { maxTokens: 2 });
    await untilHeld(1);
    const others = [ask(`${'s'.repeat(110)}high`, { maxTokens: 2, priority: 1 }), ask('low', { maxTokens: 2 })];
    await untilHeld(1, 2);
    goOn();
    await Promise.all([reader, ...others]);
    expect(bench.observer.decisions).toContain('held_back');
    expect(bench.observer.decisions).not.toContain('aged');
  });

  it('finds nothing after the engine broke, since nobody knows what its places hold', async () => {
    bench = openBench({ breakAtStep: 4 });
    await expect(ask('a'.repeat(100), { maxTokens: 20 })).rejects.toMatchObject({ code: 'worker_lost' });
    const { finished } = await ask('a'.repeat(100), { maxTokens: 2 });
    expect(finished!.usage.cachedTokens).toBe(0);
  });
});

describe('several answers to one prompt', () => {
  const several = (prompt: Prompt, seeds: readonly (number | undefined)[], more: Partial<AnswerRequest> = {}) =>
    Promise.all(seeds.map((seed) => ask('', { prompt, maxTokens: 20, sampling: { temperature: 2, seed }, ...more })));

  it('reads the prompt once, and copies it', async () => {
    bench = openBench();
    const prompt: Prompt = { kind: 'text', text: 'p'.repeat(50) };
    await several(prompt, [1, 2, 3, 4], { maxTokens: 1 });
    expect(tokensRead(bench)).toBe(50 + 3);
    const found = bench.observer.decisions.filter((decision) => decision === 'copied' || decision === 'reused');
    expect(found).toHaveLength(3);
    expect(bench.observer.decisions.filter((decision) => decision === 'held_back')).toHaveLength(3);
  });

  it('does so too with a model whose places can not be cut', async () => {
    bench = openBench({ cutsAnywhere: false });
    const answers = await several({ kind: 'text', text: 'p'.repeat(150) }, [1, 2, 3, 4], { maxTokens: 1 });
    expect(tokensRead(bench)).toBe(150 + 3);
    expect(answers.map(({ finished }) => finished!.usage.cachedTokens)).toEqual([0, 149, 149, 149]);
  });

  it('gives each the answer that it would have alone, and different ones without a seed', async () => {
    bench = openBench();
    const text = 'once upon a time';
    const together = await several({ kind: 'text', text }, [7, 8, undefined, undefined]);
    for (const [index, seed] of [7, 8].entries()) {
      const alone = await ask(text, { maxTokens: 20, sampling: { temperature: 2, seed } });
      expect(together[index]!.text).toBe(alone.text);
    }
    expect(new Set(together.map(({ text: each }) => each)).size).toBe(4);
  });

  it('goes on with the others when the first of them leaves while it reads', async () => {
    bench = openBench({}, { prefillChunkTokens: 8 });
    const prompt: Prompt = { kind: 'text', text: 'p'.repeat(200) };
    const goOn = bench.holdAt(4);
    const leaving = new AbortController();
    const first = collect(bench.engine.answer(textRequest('', { prompt, maxTokens: 5 }), leaving.signal));
    const others = several(prompt, [1, 2], { maxTokens: 5 });
    await untilHeld(4, 2);
    leaving.abort(new Error('left'));
    goOn();
    await expect(first).rejects.toThrow('left');
    for (const { finished } of await others) expect(finished).toMatchObject({ reason: 'length' });
    await expect.poll(() => isIdle(bench)).toBe(true);
  });
});

describe('log-probabilities', () => {
  it('come with every token of the answer and none of its end', async () => {
    bench = openBench({ says: () => 'h\u00e9!' });
    const { logprobs, text } = await ask('a', { logprobs: 3 });
    expect(Buffer.concat(logprobs.map(({ bytes }) => bytes)).toString()).toBe(text);
    for (const { logprob, top } of logprobs) {
      expect(logprob).toBeLessThanOrEqual(0);
      expect(top).toHaveLength(3);
      expect(top.map((each) => each.logprob)).toEqual(top.map((each) => each.logprob).sort((a, b) => b - a));
    }
  });

  it('are absent when nobody asked', async () => {
    bench = openBench();
    const { events } = await ask('a', { maxTokens: 3 });
    for (const event of events) if (event.kind === 'tokens') expect(event.logprobs).toBeUndefined();
  });

  it('come with the text of their tokens, also at the end', async () => {
    bench = openBench({ says: () => 'one two ST' });
    const { events } = await ask('a', { logprobs: 0, stop: ['two STOP'] });
    for (const event of events) {
      if (event.kind !== 'tokens') continue;
      expect(Buffer.concat((event.logprobs ?? []).map(({ bytes }) => bytes)).toString()).toBe(event.text);
    }
  });

  it('tell nothing of a stop text', async () => {
    bench = openBench({ says: () => 'one STOP two' });
    const { logprobs, text } = await ask('a', { logprobs: 0, stop: ['STOP'] });
    expect(text).toBe('one ');
    expect(Buffer.concat(logprobs.map(({ bytes }) => bytes)).toString()).toBe('one ');
  });
});

describe('echo', () => {
  it('gives the prompt back before the answer', async () => {
    bench = openBench({ says: () => 'world' });
    const { events, echo, text } = await ask('hello ', { echo: true });
    expect(echo).toEqual({ text: 'hello ', logprobs: [] });
    expect(text).toBe('world');
    expect(events.map(({ kind }) => kind).slice(0, 2)).toEqual(['begun', 'echo']);
  });

  it('spells a prompt of tokens', async () => {
    bench = openBench({ says: () => 'world' });
    const prompt: Prompt = { kind: 'tokens', tokens: [...Buffer.from('gr\u00fc\u00df')] };
    expect((await ask('', { prompt, echo: true })).echo.text).toBe('gr\u00fc\u00df');
  });

  it('tells how likely each token of the prompt was: as likely as if it had been chosen there', async () => {
    bench = openBench();
    const chosen = await ask('once', { maxTokens: 80, logprobs: 2 });
    const prompt: Prompt = { kind: 'tokens', tokens: [...Buffer.from('once'), ...chosen.tokens] };
    const { echo, finished } = await ask('', { prompt, maxTokens: 0, echo: true, logprobs: 2 });
    expect(echo.text).toBe(`once${chosen.text}`);
    expect(echo.logprobs[0]!.logprob).toBeNaN();
    expect(echo.logprobs.slice(4)).toEqual(chosen.logprobs);
    expect(finished).toMatchObject({
      reason: 'length',
      usage: { promptTokens: 84, completionTokens: 0, cachedTokens: 0 },
    });
  });

  it('costs no step when nothing is wanted but the prompt', async () => {
    bench = openBench();
    const { echo, finished } = await ask('just this', { maxTokens: 0, echo: true });
    expect(echo.text).toBe('just this');
    expect(finished).toMatchObject({ reason: 'length', usage: { promptTokens: 9, completionTokens: 0 } });
    expect(bench.steps).toEqual([]);
  });

  it('waits for a reader that does not keep up with a long prompt', async () => {
    bench = openBench();
    const request = textRequest('x'.repeat(500), { maxTokens: 3, echo: true, logprobs: 0 });
    const answer = bench.engine.answer(request, NEVER);
    await expect.poll(() => bench.observer.decisions).toContain('paused');
    expect(tokensRead(bench)).toBe(32);
    const { echo, tokens } = await collect(answer);
    expect(echo.logprobs).toHaveLength(500);
    expect(tokens).toHaveLength(3);
  });
});

describe('what an answer must be', () => {
  it('obeys a grammar, and ends with stop where the grammar ends', async () => {
    bench = openBench();
    const { text, finished } = await ask('a', { format: { kind: 'grammar', grammar: 'root ::= "yes" | "no"' } });
    expect(['yes', 'no']).toContain(text);
    expect(finished!.reason).toBe('stop');
  });

  it('obeys a schema', async () => {
    bench = openBench();
    const schema = {
      type: 'object',
      properties: { colour: { enum: ['red', 'green'] }, count: { type: 'integer', minimum: 3, maximum: 5 } },
      required: ['colour', 'count'],
      additionalProperties: false,
    };
    const { text } = await ask('a', { format: { kind: 'schema', schema } });
    expect(JSON.parse(text)).toEqual({
      colour: expect.stringMatching(/^(red|green)$/),
      count: expect.toSatisfy((count: number) => count >= 3 && count <= 5),
    });
  });

  it('combines with log-probabilities, several answers and stop texts', async () => {
    bench = openBench();
    const prompt: Prompt = { kind: 'text', text: 'a' };
    const format = { kind: 'grammar', grammar: 'root ::= [a-c]+ "END" [a-c]+' } as const;
    const answers = await Promise.all(
      [1, 2].map((seed) =>
        ask('', { prompt, format, logprobs: 1, stop: ['END'], sampling: { temperature: 1, seed }, maxTokens: 400 }),
      ),
    );
    for (const { text, logprobs, finished } of answers) {
      expect(text).toMatch(/^[a-c]+$/);
      expect(logprobs).toHaveLength(text.length);
      expect(finished!.reason === 'stop' || text.length === 400).toBe(true);
    }
  });

  it('goes on elsewhere under a grammar as if undisturbed', async () => {
    bench = openBench();
    const request = {
      format: { kind: 'grammar', grammar: 'root ::= "[" [a-z]{20} "]"' } as const,
      sampling: { temperature: 1, seed: 5 },
    };
    const whole = await ask('a', request);
    for (const cut of [1, 7, 20]) {
      const resume = { tokens: whole.tokens.slice(0, cut), text: whole.text.slice(0, cut) };
      const rest = await ask('a', { ...request, resume });
      expect(resume.text + rest.text).toBe(whole.text);
    }
  });

  it('holds no grammar for those who wait, and reads it again when they join', async () => {
    bench = openBench({}, { maxBatchSize: 1 });
    const { tokenEngine } = bench;
    const openGrammar = tokenEngine.openGrammar.bind(tokenEngine);
    let opened = 0;
    tokenEngine.openGrammar = (gbnf) => {
      opened++;
      return openGrammar(gbnf);
    };
    const words = Array.from({ length: 40 }, (_, index) => `word${index}`);
    const answers = await Promise.all(
      words.map((word) => ask('a', { format: { kind: 'grammar', grammar: `root ::= "${word}"` } })),
    );
    expect(answers.map(({ text }) => text)).toEqual(words);
    expect(opened).toBeGreaterThan(40);
  });

  it('refuses a grammar that can not be read, and a schema that can not be expressed', async () => {
    bench = openBench();
    await expect(ask('a', { format: { kind: 'grammar', grammar: 'root ::= (' } })).rejects.toMatchObject({
      code: 'invalid_request',
      details: { param: 'grammar' },
    });
    const explodes = 'root ::= e\ne ::= "x" e "a" | "x" e "b" | "x"';
    await expect(ask('a', { format: { kind: 'grammar', grammar: explodes } })).rejects.toMatchObject({
      code: 'invalid_request',
      details: { param: 'grammar' },
    });
    const schema = { type: 'object', patternProperties: { '^a': { type: 'string' } } };
    await expect(ask('a', { format: { kind: 'schema', schema } })).rejects.toMatchObject({
      code: 'invalid_request',
      message: expect.stringContaining('patternProperties'),
      details: { param: expect.stringContaining('response_format.json_schema.schema') },
    });
  });
});

describe('parameters', () => {
  it('refuses a bias on a token that the model does not have, with both numbers', async () => {
    bench = openBench();
    const sampling = { logitBias: [{ token: 99_999, bias: 1 }] };
    await expect(ask('a', { sampling })).rejects.toMatchObject({
      message: expect.stringMatching(/99999.*\b264\b/),
      details: { param: 'logit_bias' },
    });
  });

  it('obeys a bias on the end of an answer', async () => {
    bench = openBench();
    const { text, finished } = await ask('a', { sampling: { logitBias: [{ token: 257, bias: 100 }] } });
    expect({ text, reason: finished!.reason }).toEqual({ text: '', reason: 'stop' });
  });

  it('fills the gap before a suffix, and refuses one with a model that fills no gaps', async () => {
    let seen = '';
    bench = openBench({
      says: (given) => {
        seen = given;
        return 'between';
      },
    });
    const gap: Prompt = { kind: 'text', text: 'before ', suffix: ' after' };
    expect((await ask('', { prompt: gap })).text).toBe('between');
    expect(seen).toBe('<|fim_prefix|>before <|fim_suffix|> after<|fim_middle|>');

    Object.assign(bench.tokenEngine, { model: { ...bench.tokenEngine.model, infill: undefined } });
    const prompt: Prompt = { kind: 'text', text: 'a', suffix: 'b' };
    await expect(ask('', { prompt })).rejects.toMatchObject({
      code: 'infill_not_supported',
      details: { param: 'suffix' },
    });
  });
});

describe('other work', () => {
  it('refuses what the model does not do', async () => {
    bench = openBench();
    await expect(bench.engine.embed()).rejects.toMatchObject({ code: 'embeddings_not_supported' });
    await expect(bench.engine.rerank()).rejects.toMatchObject({ code: 'rerank_not_supported' });
  });

  it('turns text into tokens and back', async () => {
    bench = openBench();
    const heading = { requestId: 'test', model: 'scripted', priority: 0, addSpecial: false };
    const prompt: Prompt = { kind: 'text', text: '<|im_end|>' };
    const special = await bench.engine.tokenize({ ...heading, prompt, parseSpecial: true });
    expect(special.tokens).toEqual([257]);
    expect(await bench.engine.detokenize(special.tokens)).toBe('<|im_end|>');
    const plain = await bench.engine.tokenize({ ...heading, prompt, parseSpecial: false });
    expect(plain.tokens).toHaveLength(10);
    expect(Buffer.concat(plain.pieces).toString()).toBe('<|im_end|>');
    await expect(bench.engine.detokenize([264])).rejects.toMatchObject({ details: { param: 'tokens' } });
  });

  it('counts a chat that the model has no room for', async () => {
    bench = openBench({ contextLength: 1_000 });
    const heading = { requestId: 'test', model: 'scripted', priority: 0, addSpecial: false, parseSpecial: true };
    const chat = (content: string) => {
      const messages = [{ role: 'user', content }];
      return { kind: 'chat', messages, tools: [], templateVariables: {} } as const;
    };
    const around = (await bench.engine.tokenize({ ...heading, prompt: chat('') })).tokens.length;
    const { tokens } = await bench.engine.tokenize({ ...heading, prompt: chat('x'.repeat(70_000)) });
    expect(tokens).toHaveLength(around + 70_000);
    await expect(bench.engine.tokenize({ ...heading, prompt: chat('x'.repeat(1_100_000)) })).rejects.toMatchObject({
      code: 'context_length_exceeded',
    });
  });

  it('shows what the template makes of a chat', async () => {
    bench = openBench();
    const messages = [{ role: 'user', content: 'Hi' }];
    const prompt = { kind: 'chat', messages, tools: [], templateVariables: {} } as const;
    expect(await bench.engine.renderPrompt(prompt)).toBe('<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n');
  });
});
