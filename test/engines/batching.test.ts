import { openLlamaCpp } from '../../apps/worker/src/token-engine/adapters/llama-cpp/open-llama-cpp.ts';
import { ScriptedTokenEngine } from '../../apps/worker/src/token-engine/adapters/scripted/scripted-token-engine.ts';
import { engineContract, question } from './engine.contract.ts';
import { LLAMA_CPP, openBatching } from './engines.testing.ts';

engineContract('Batching on llama.cpp', {
  open: async (limits) => {
    const sizes = { contextLength: 1_024, placesMax: limits.runningMax, tokensPerStepMax: 128 };
    return openBatching(await openLlamaCpp({ ...LLAMA_CPP, ...sizes }), limits);
  },
  short: question('Count to 15.'),
  endless: { prompt: question('Count to 15.'), sampling: { temperature: 0, ignoreEos: true } },
  weather: question('What is the weather in Oslo?'),
  numbersTokens: true,
  resumes: true,
  logprobs: true,
});

const WEATHER_CALL = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>';

/** What the script says to the last message, and to anything else letters without an end. */
const SCRIPT: Readonly<Record<string, string>> = {
  'Count.': 'One, two, three, four: é€😀 — and five.',
  'Think first.': '<think>\nIt is a question.\n</think>\n\nYes, é€😀.',
  'What is the weather in Oslo?': WEATHER_CALL,
};

engineContract('Batching on a script', {
  open: async (limits) =>
    openBatching(
      new ScriptedTokenEngine({
        contextLength: 2_048,
        placesMax: limits.runningMax,
        says: (prompt) => {
          const messages = [...prompt.matchAll(/<\|im_start\|>user\n(.*?)<\|im_end\|>/gs)];
          return SCRIPT[messages.at(-1)?.[1] ?? ''] ?? 'é€😀 word '.repeat(200);
        },
      }),
      limits,
    ),
  short: question('Count.'),
  endless: { prompt: question('Go on for ever.'), sampling: { temperature: 0 } },
  weather: question('What is the weather in Oslo?'),
  thoughtful: { prompt: question('Think first.'), reasoning: 'It is a question.', text: 'Yes, é€😀.' },
  numbersTokens: true,
  resumes: true,
  logprobs: true,
});
