import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ChatPrompt } from '../chat-model.js';
import { ChatTemplate } from '../templates/chat-template.js';
import { openReader } from './answer-form.js';
import { read, splits, TIME, WEATHER } from './answer-forms.testing.js';

/** What an assistant said, as a caller sends it back. */
interface Said {
  readonly text?: string;
  readonly reasoning?: string;
  readonly calls?: readonly (readonly [name: string, args: Record<string, unknown>])[];
}

const ROME = ['get_weather', { city: 'Rome "R" </tool_call>', days: 2 }] as const;
const NOON = ['get_time', {}] as const;

const SAID: Record<string, Said> = {
  text: { text: 'Hello,\n\nwörld 🎉!' },
  'one call': { calls: [ROME] },
  'parallel calls': { calls: [ROME, NOON] },
  'a call behind text': { text: 'Let me look.', calls: [ROME] },
  'reasoning and text': { reasoning: 'I\nthink.', text: 'Hello!' },
  'reasoning and a call': { reasoning: 'I\nthink.', calls: [ROME] },
};

/** Templates from llama.cpp's source, what stands before and behind a turn of their models, and what they can't say. */
const TEMPLATES: Record<
  string,
  {
    readonly begins: string;
    readonly ends: string;
    readonly endsCalls?: string;
    readonly not?: readonly (keyof typeof SAID)[];
  }
> = {
  'Qwen-Qwen2.5-7B-Instruct': {
    begins: '<|im_start|>assistant\n',
    ends: '<|im_end|>',
    not: ['reasoning and text', 'reasoning and a call'],
  },
  'Qwen-Qwen3-0.6B': {
    begins: '<|im_start|>assistant\n',
    ends: '<|im_end|>',
  },
  'openai-gpt-oss-120b': {
    begins: '<|start|>assistant',
    ends: '<|end|>',
    endsCalls: '<|call|>',
    not: ['parallel calls', 'a call behind text', 'reasoning and text'],
  },
  'Qwen3-Coder': {
    begins: '<|im_start|>assistant\n',
    ends: '<|im_end|>',
    not: ['reasoning and text', 'reasoning and a call'],
  },
  'Qwen3.5-4B': { begins: '<|im_start|>assistant\n', ends: '<|im_end|>' },
  'NVIDIA-Nemotron-3-Nano-30B-A3B-BF16': { begins: '<|im_start|>assistant\n', ends: '<|im_end|>' },
  'Qwen-QwQ-32B': {
    begins: '<|im_start|>assistant\n',
    ends: '<|im_end|>',
    not: ['reasoning and text', 'reasoning and a call'],
  },
  'NousResearch-Hermes-3-Llama-3.1-8B-tool_use': {
    begins: '<|im_start|>assistant\n',
    ends: '<|im_end|>',
    not: ['a call behind text', 'reasoning and text', 'reasoning and a call'],
  },
  'meta-llama-Llama-3.1-8B-Instruct': {
    begins: '<|end_header_id|>\n\n',
    ends: '<|eot_id|>',
    not: ['parallel calls', 'a call behind text', 'reasoning and text', 'reasoning and a call'],
  },
  'meta-llama-Llama-3.3-70B-Instruct': {
    begins: '<|end_header_id|>\n\n',
    ends: '<|eot_id|>',
    not: ['parallel calls', 'a call behind text', 'reasoning and text', 'reasoning and a call'],
  },
  'meetkai-functionary-medium-v3.1': {
    begins: '<|end_header_id|>\n\n',
    ends: '<|e',
    not: ['reasoning and text', 'reasoning and a call'],
  },
  'mistralai-Mistral-Nemo-Instruct-2407': {
    begins: '[/INST]',
    ends: '</s>',
    not: ['a call behind text', 'reasoning and text', 'reasoning and a call'],
  },
  'Mistral-Small-3.2-24B-Instruct-2506': {
    begins: '[/INST]',
    ends: '</s>',
    not: ['a call behind text', 'reasoning and text', 'reasoning and a call'],
  },
  'unsloth-mistral-Devstral-Small-2507': {
    begins: '[/INST]',
    ends: '</s>',
    not: ['reasoning and text', 'reasoning and a call'],
  },
  'mistralai-Ministral-3-14B-Reasoning-2512': {
    begins: '[/INST]',
    ends: '</s>',
  },
  'llama-cpp-deepseek-r1': {
    begins: '<｜Assistant｜>',
    ends: '<｜end▁of▁sentence｜>',
    not: ['a call behind text', 'reasoning and text', 'reasoning and a call'],
  },
  'deepseek-ai-DeepSeek-V3.1': {
    begins: '<｜Assistant｜>',
    ends: '<｜end▁of▁sentence｜>',
    not: ['reasoning and text', 'reasoning and a call'],
  },
  'CohereForAI-c4ai-command-r-plus-tool_use': {
    begins: '<|CHATBOT_TOKEN|>',
    ends: '<|',
    not: ['reasoning and text', 'reasoning and a call'],
  },
  'CohereForAI-c4ai-command-r7b-12-2024-tool_use': {
    begins: '<|CHATBOT_TOKEN|>',
    ends: '<|END_OF_TURN_TOKEN|>',
    not: ['a call behind text', 'reasoning and text'],
  },
  'ibm-granite-granite-4.0': {
    begins: 'assistant<|end_of_role|>',
    ends: '<|end_of_text|>',
    not: ['reasoning and text', 'reasoning and a call'],
  },
};

// As the worker's engine has it; unpacked once, from the package.
const SOURCE = execFileSync('sh', [join(import.meta.dirname, '../../../../../tools/unpack-llama-cpp.sh')], {
  encoding: 'utf8',
}).trim();
const NOW = new Date(0);
const QUESTION = 'What is the weather?';

function messageOf({ text, reasoning, calls = [] }: Said): Record<string, unknown> {
  return {
    role: 'assistant',
    content: text ?? null,
    ...(reasoning !== undefined && { reasoning_content: reasoning }),
    ...(calls.length > 0 && {
      tool_calls: calls.map(([name, args], at) => ({
        id: `call_${at}`,
        type: 'function',
        function: { name, arguments: JSON.stringify(args) },
      })),
    }),
  };
}

describe.each(Object.entries(TEMPLATES))('%s', (file, { begins, ends, endsCalls, not = [] }) => {
  const source = readFileSync(join(SOURCE, `models/templates/${file}.jinja`), 'utf8');
  const template = new ChatTemplate(
    source,
    { beginningText: '', endText: ends },
    { timeMs: 5_000, charactersMax: 1e6 },
  );
  const prompt: ChatPrompt = {
    kind: 'chat',
    messages: [{ role: 'user', content: QUESTION }],
    tools: [WEATHER, TIME],
    templateVariables: {},
  };
  const asked = template.render(prompt, NOW);

  it.each(Object.keys(SAID).filter((name) => !not.includes(name)))('reads %s as the template writes it', (name) => {
    const said = SAID[name]!;
    const messages = [...prompt.messages, messageOf(said)];
    const whole = template.render({ ...prompt, messages }, NOW);
    const from = whole.indexOf(begins, whole.indexOf(QUESTION)) + begins.length;
    // Some prompts open the reasoning, or close it at once, which is then no part of the answer.
    const opened = asked.slice(asked.lastIndexOf(begins) + begins.length);
    const end = said.calls === undefined ? ends : (endsCalls ?? ends);
    const written = whole.slice(from, whole.indexOf(end, from));
    const answer = written.startsWith(opened) ? written.slice(opened.length) : written;
    const rendered = written.startsWith(opened) ? asked : asked.slice(0, asked.length - opened.length);
    const plan = structuredClone(template.form.plan({ prompt, rendered, format: undefined }));
    for (const pieces of [[answer], ...splits(answer)]) {
      const { calls, text, reasoning } = read(plan, pieces);
      expect([
        answer,
        { text, reasoning, calls: calls.map((call) => [call.name, JSON.parse(call.arguments)]) },
      ]).toEqual([answer, { text: said.text ?? '', reasoning: said.reasoning ?? '', calls: said.calls ?? [] }]);
    }
    expect(openReader(plan).binding).toBeUndefined();
  });
});
