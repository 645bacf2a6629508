import {
  type AnswerRequest,
  InferenceError,
  type OutputFormat,
  type Sampling,
  type UpstreamPreset,
} from '@millrace/contracts';
import { describe, expect, it } from 'vitest';
import { PRESETS } from './presets.js';
import { chat, request } from './upstream.testing.js';
import { upstreamBody } from './upstream-body.js';

// biome-ignore lint/suspicious/noExplicitAny: the tests look into whatever would be sent.
function bodyOf(preset: UpstreamPreset, more: Partial<AnswerRequest> = {}, samplingDefaults: Sampling = {}): any {
  const terms = {
    preset: PRESETS[preset],
    presetName: preset,
    upstreamModel: 'm',
    samplingDefaults,
    maxTokensDefault: undefined,
  };
  return JSON.parse(upstreamBody(request(more), terms).json);
}

function refusal(preset: UpstreamPreset, more: Partial<AnswerRequest>): unknown {
  try {
    bodyOf(preset, more);
  } catch (error) {
    expect(error).toBeInstanceOf(InferenceError);
    return { code: (error as InferenceError).code, param: (error as InferenceError).details.param };
  }
  return undefined;
}

const text = { kind: 'text', text: 'Once' } as const;
const tools = ['f', 'g'].map((name) => ({ type: 'function', function: { name, parameters: {} } }));

describe('a schema', () => {
  const format = { kind: 'schema', schema: { type: 'object' } } as const;

  it('is asked for without a stream, where a stream is refused beside it', () => {
    expect(bodyOf('groq', { format })).toMatchObject({ stream: false, response_format: { type: 'json_schema' } });
    expect(bodyOf('groq', { format })).not.toHaveProperty('stream_options');
    expect(bodyOf('groq', { format: { kind: 'json' } })).toMatchObject({ stream: true });
    expect(bodyOf('openai', { format })).toMatchObject({ stream: true });
  });

  it('is refused beside tools, where the server refuses both', () => {
    const refused = { code: 'unsupported_parameter', param: 'response_format' };
    expect(refusal('groq', { format, prompt: chat('Hi', { tools }) })).toEqual(refused);
    expect(refusal('openai', { format, prompt: chat('Hi', { tools }) })).toBeUndefined();
  });
});

it('log-probabilities beside tools are asked for without a stream, where a stream is refused', () => {
  const prompt = chat('Hi', { tools });
  expect(bodyOf('llama-server', { prompt, logprobs: 1 })).toMatchObject({ stream: false, logprobs: true });
  expect(bodyOf('llama-server', { prompt })).toMatchObject({ stream: true });
  expect(bodyOf('llama-server', { logprobs: 1 })).toMatchObject({ stream: true });
  expect(bodyOf('vllm', { prompt, logprobs: 1 })).toMatchObject({ stream: true });
});

describe('sampling', () => {
  it('is sent as the server calls it, and what nobody asked for is left out', () => {
    const sampling = { temperature: 0.5, topK: 7, repeatPenalty: 1.1, seed: 3 };
    expect(bodyOf('vllm', { sampling })).toMatchObject({
      temperature: 0.5,
      top_k: 7,
      repetition_penalty: 1.1,
      seed: 3,
    });
    expect(bodyOf('llama-server', { sampling })).toMatchObject({
      temperature: 0.5,
      top_k: 7,
      repeat_penalty: 1.1,
      seed: 3,
    });
    expect(Object.keys(bodyOf('openai')).toSorted()).toEqual(['messages', 'model', 'stream', 'stream_options']);
  });

  it('is always told to servers with defaults of their own', () => {
    expect(bodyOf('llama-server')).toMatchObject({ temperature: 1, top_p: 1, top_k: 0, min_p: 0, repeat_penalty: 1 });
    expect(bodyOf('ollama')).toMatchObject({ temperature: 1, top_p: 1 });
    expect(bodyOf('max-serve')).toMatchObject({ temperature: 1, top_p: 1, top_k: -1, min_p: 0 });
    expect(bodyOf('ovms')).toMatchObject({ temperature: 1, top_p: 1, top_k: -1 });
  });

  it('falls to the model’s own defaults where the request is silent', () => {
    const defaults = { temperature: 0.3, topP: 1, topK: 40 };
    expect(bodyOf('llama-server', { sampling: { topK: 0 } }, defaults)).toMatchObject({ temperature: 0.3, top_k: 0 });
    expect(bodyOf('openai', {}, defaults)).toMatchObject({ temperature: 0.3 });
    // It is OpenAI's own default, and no reason to tell it.
    expect(bodyOf('openai', {}, defaults)).not.toHaveProperty('top_p');
  });

  it.each<[UpstreamPreset, Sampling, string]>([
    ['openai', { topK: 5 }, 'top_k'],
    ['generic', { minP: 0.1 }, 'min_p'],
    ['groq', { logitBias: [{ token: 1, bias: 5 }] }, 'logit_bias'],
    ['ollama', { repeatPenalty: 1.2 }, 'repeat_penalty'],
    ['vllm', { dryMultiplier: 0.8, dryBase: 2 }, 'dry_multiplier'],
    ['max-serve', { xtcProbability: 0.5 }, 'xtc_probability'],
    ['openai', { ignoreEos: true }, 'ignore_eos'],
  ])('that %s does not know is refused by name: %j', (preset, sampling, param) => {
    expect(refusal(preset, { sampling })).toEqual({ code: 'unsupported_parameter', param });
  });

  it('that asks for nothing is refused nowhere', () => {
    const sampling: Sampling = {
      topK: 0,
      minP: 0,
      repeatPenalty: 1,
      repeatLastN: 64,
      dryMultiplier: 0,
      dryBase: 2,
      drySequenceBreakers: ['\n'],
      xtcProbability: 0,
      xtcThreshold: 0.2,
      ignoreEos: false,
    };
    for (const preset of Object.keys(PRESETS) as UpstreamPreset[])
      expect(refusal(preset, { sampling })).toBeUndefined();
  });

  it('has its biases as an object, and llama.cpp’s word for all of the context', () => {
    const sampling = {
      logitBias: [
        { token: 5, bias: -100 },
        { token: 7, bias: 1 },
      ],
      dryMultiplier: 1,
      dryLastN: 0,
    };
    expect(bodyOf('llama-server', { sampling })).toMatchObject({
      logit_bias: { 5: -100, 7: 1 },
      dry_penalty_last_n: -1,
    });
  });
});

describe('the limit of an answer', () => {
  it.each<[UpstreamPreset, string]>([
    ['ollama', 'max_tokens'],
    ['openai', 'max_completion_tokens'],
    ['vllm', 'max_completion_tokens'],
    ['llama-server', 'max_tokens'],
  ])('%s calls it %s', (preset, word) => {
    expect(bodyOf(preset, { maxTokens: 5 })[word]).toBe(5);
  });

  it('of a text is called max_tokens everywhere, and vLLM is told that there is none', () => {
    expect(bodyOf('openai', { prompt: text, maxTokens: 5 })).toMatchObject({ max_tokens: 5 });
    expect(bodyOf('vllm', { prompt: text })).toMatchObject({ max_tokens: null });
    expect(bodyOf('llama-server', { prompt: text })).not.toHaveProperty('max_tokens');
  });

  it('counts what has been delivered', () => {
    const resume = { tokens: [1, 2], text: ' upon' };
    expect(bodyOf('vllm', { prompt: text, maxTokens: 5, resume })).toMatchObject({
      prompt: 'Once upon',
      max_tokens: 3,
    });
  });
});

describe('tools', () => {
  const ask = (toolChoice: 'auto' | 'none' | 'required' | { name: string } | undefined, more = {}) => ({
    prompt: chat('Hi', { tools, toolChoice, ...more }),
  });

  it('are sent with the choice', () => {
    expect(bodyOf('openai', ask(undefined))).toMatchObject({ tools });
    expect(bodyOf('openai', ask('required'))).toMatchObject({ tools, tool_choice: 'required' });
    expect(bodyOf('openai', ask({ name: 'g' }))).toMatchObject({
      tools,
      tool_choice: { type: 'function', function: { name: 'g' } },
    });
    expect(bodyOf('openai', ask('auto', { parallelCalls: false }))).toMatchObject({ parallel_tool_calls: false });
  });

  it('are but one for a server that can not be told which', () => {
    expect(bodyOf('llama-server', ask({ name: 'g' }))).toMatchObject({ tools: [tools[1]], tool_choice: 'required' });
  });

  it('can not be demanded of Ollama', () => {
    expect(refusal('ollama', ask('required'))).toEqual({ code: 'tools_not_supported', param: 'tool_choice' });
    expect(bodyOf('ollama', ask('none'))).not.toHaveProperty('tools');
    expect(bodyOf('ollama', ask('auto', { parallelCalls: false }))).not.toHaveProperty('parallel_tool_calls');
  });
});

describe('the format', () => {
  const schema = { type: 'object' };
  it.each<[UpstreamPreset, OutputFormat, object]>([
    ['openai', { kind: 'json' }, { response_format: { type: 'json_object' } }],
    [
      'openai',
      { kind: 'schema', schema },
      { response_format: { type: 'json_schema', json_schema: { name: 'answer', strict: true, schema } } },
    ],
    [
      'openai',
      { kind: 'schema', schema: true },
      { response_format: { type: 'json_schema', json_schema: { schema: {} } } },
    ],
    [
      'ovms',
      { kind: 'json' },
      { response_format: { type: 'json_schema', json_schema: { schema: { type: 'object' } } } },
    ],
    ['llama-server', { kind: 'grammar', grammar: 'root ::= "a"' }, { grammar: 'root ::= "a"' }],
    ['vllm', { kind: 'grammar', grammar: 'g' }, { structured_outputs: { grammar: 'g' } }],
    ['fireworks', { kind: 'grammar', grammar: 'g' }, { response_format: { type: 'grammar', grammar: 'g' } }],
  ])('is said in the words of %s: %j', (preset, format, expected) => {
    expect(bodyOf(preset, { format })).toMatchObject(expected);
  });

  it('that can not be had is refused', () => {
    expect(refusal('openai', { format: { kind: 'grammar', grammar: 'g' } })).toEqual({
      code: 'unsupported_parameter',
      param: 'grammar',
    });
    expect(refusal('openai', { format: { kind: 'schema', schema: false } })).toEqual({
      code: 'unsupported_parameter',
      param: 'response_format',
    });
  });
});

describe('what only templates know', () => {
  const documents = [{ text: 'a' }];

  it('goes where the server looks for it', () => {
    expect(bodyOf('vllm', { prompt: chat('Hi', { documents }) })).toMatchObject({ documents });
    expect(bodyOf('llama-server', { prompt: chat('Hi', { documents, templateVariables: { x: 1 } }) })).toMatchObject({
      chat_template_kwargs: { documents, x: 1 },
    });
    expect(bodyOf('vllm', { prompt: chat('Hi', { reasoningEffort: 'none' }) })).toMatchObject({
      reasoning_effort: 'none',
    });
    expect(bodyOf('max-serve', { prompt: chat('Hi', { reasoningEffort: 'none' }) })).toMatchObject({
      chat_template_kwargs: { enable_thinking: false, reasoning_effort: 'none' },
    });
    expect(bodyOf('vllm', { prompt: chat('Hi', { continueFinal: true }) })).toMatchObject({
      continue_final_message: true,
      add_generation_prompt: false,
    });
  });

  it.each<[UpstreamPreset, object, string]>([
    ['openai', { documents }, 'documents'],
    ['groq', { templateVariables: { x: 1 } }, 'chat_template_kwargs'],
    ['generic', { reasoningEffort: 'low' }, 'reasoning_effort'],
    ['ollama', { continueFinal: true }, 'continue_final_message'],
  ])('is refused by %s: %j', (preset, more, param) => {
    expect(refusal(preset, { prompt: chat('Hi', more) })).toEqual({ code: 'unsupported_parameter', param });
  });

  it('is asked for only if it is asked for', () => {
    expect(bodyOf('vllm', { prompt: chat('Hi', { documents: [] }) })).not.toHaveProperty('documents');
    expect(bodyOf('llama-server')).not.toHaveProperty('chat_template_kwargs');
  });

  it('messages are as the server wants them', () => {
    const messages = [
      { role: 'developer', content: 'Be brief.' },
      { role: 'user', content: 'Hi', name: 'Ann' },
      { role: 'assistant', content: 'Hello', refusal: null, reasoning_content: 'A greeting.' },
      { role: 'assistant', content: null, refusal: 'No.' },
    ];
    const wordsOf = (preset: UpstreamPreset) => bodyOf(preset, { prompt: chat('', { messages }) }).messages;
    const [developer, user] = messages;
    const hello = { role: 'assistant', content: 'Hello' };

    expect(wordsOf('openai')).toEqual([developer, user, hello, messages[3]]);
    expect(wordsOf('groq')).toEqual([
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Hi' },
      { ...hello, reasoning: 'A greeting.' },
      { role: 'assistant', content: 'No.' },
    ]);
    expect(wordsOf('vllm').slice(1, 3)).toEqual([user, { ...hello, reasoning_content: 'A greeting.' }]);
    expect(wordsOf('max-serve')[2]).toEqual(hello);
  });
});

describe('log-probabilities', () => {
  it('are asked for in the words of each endpoint', () => {
    expect(bodyOf('openai', { logprobs: 0 })).toMatchObject({ logprobs: true, top_logprobs: 0 });
    expect(bodyOf('openai', { prompt: text, logprobs: 3 })).toMatchObject({ logprobs: 3 });
  });

  it.each<[UpstreamPreset, Partial<AnswerRequest>, string]>([
    ['groq', { logprobs: 0 }, 'logprobs'],
    ['ollama', { logprobs: 2 }, 'top_logprobs'],
    ['openai', { prompt: text, logprobs: 6 }, 'logprobs'],
    ['fireworks', { logprobs: 6 }, 'top_logprobs'],
    ['vllm', { prompt: text, logprobs: 1, echo: true }, 'echo'],
    ['vllm', { prompt: text, maxTokens: 0, echo: true }, 'max_tokens'],
    ['openai', { prompt: { kind: 'tokens', tokens: [1] }, echo: true }, 'echo'],
  ])('that %s does not tell are refused: %j', (preset, more, param) => {
    expect(refusal(preset, more)).toEqual({ code: 'unsupported_parameter', param });
  });
});

describe('a prompt', () => {
  it('may be tokens where the server takes them', () => {
    const prompt = { kind: 'tokens', tokens: [1, 2] } as const;
    expect(bodyOf('vllm', { prompt })).toMatchObject({ prompt: [1, 2] });
    expect(refusal('ollama', { prompt })).toEqual({ code: 'unsupported_parameter', param: 'prompt' });
  });

  it('may have a suffix where the server fills gaps', () => {
    const prompt = { ...text, suffix: 'end' };
    expect(bodyOf('ollama', { prompt })).toMatchObject({ prompt: 'Once', suffix: 'end' });
    expect(refusal('vllm', { prompt })).toEqual({ code: 'infill_not_supported', param: 'suffix' });
  });

  it('that is a text needs a server that continues texts', () => {
    expect(refusal('groq', { prompt: text })).toEqual({ code: 'generation_not_supported', param: 'model' });
  });
});

describe('an answer that broke off elsewhere', () => {
  const resume = { tokens: [], text: 'Once upon' };

  it('goes on where the server can continue a message', () => {
    const { messages, continue_final_message } = bodyOf('llama-server', { resume });
    expect(continue_final_message).toBe(true);
    expect(messages.at(-1)).toEqual({ role: 'assistant', content: 'Once upon' });
  });

  it('goes on behind what the caller had begun', () => {
    const messages = [
      { role: 'user', content: 'Hi' },
      { role: 'assistant', content: 'Well, ' },
    ];
    expect(bodyOf('vllm', { prompt: chat('', { messages, continueFinal: true }), resume }).messages).toEqual([
      messages[0],
      { role: 'assistant', content: 'Well, Once upon' },
    ]);
  });

  it('goes on behind tokens', () => {
    const prompt = { kind: 'tokens', tokens: [1] } as const;
    expect(bodyOf('vllm', { prompt, resume: { tokens: [2], text: 'a' } }).prompt).toEqual([1, 2]);
  });

  it.each<[UpstreamPreset, Partial<AnswerRequest>]>([
    ['openai', { resume }],
    ['vllm', { resume: { ...resume, reasoning: 'hm' } }],
    ['vllm', { resume: { ...resume, calls: [{ index: 0, name: 'f', arguments: '' }] } }],
    ['vllm', { resume, prompt: chat('Hi', { tools }) }],
    ['vllm', { resume, prompt: { ...text, suffix: 'x' } }],
    ['vllm', { resume, prompt: { kind: 'tokens', tokens: [1] } }],
    ['vllm', { resume, format: { kind: 'json' } }],
    ['llama-server', { resume, prompt: text, format: { kind: 'grammar', grammar: 'root ::= "a"' } }],
  ])('is an honest error elsewhere: %s', (preset, more) => {
    expect(refusal(preset, more)).toEqual({ code: 'answer_broken_off', param: undefined });
  });

  it('begins again where the caller has seen nothing of it, whatever the server', () => {
    const unseen = { tokens: [], unnumbered: 1, text: '' };
    const format = { kind: 'json' } as const;
    expect(bodyOf('groq', { resume: unseen, format }).messages).toEqual(bodyOf('groq', { format }).messages);
  });

  it('has what was delivered counted against its limit, with tokens that have no number', () => {
    const { max_completion_tokens: limit } = bodyOf('vllm', { maxTokens: 10, resume: { ...resume, unnumbered: 4 } });
    expect(limit).toBe(6);
  });
});
