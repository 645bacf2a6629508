import { expect, it } from 'vitest';
import { contextExceeded } from './context-exceeded.js';

it.each([
  ['LangChain.js', 'maximum context length'],
  ['LangChain in Python', 'prompt is too long'],
  ['LangChain in Python, in a stream', 'exceeds the context window'],
  ['LiteLLM, which reads it in small letters', "this model's maximum context length is"],
])('a prompt that is too long is known as such by %s', (_client, words) => {
  const { code, message } = contextExceeded(4_096, 'The prompt has 12,008 tokens');
  expect(code).toBe('context_length_exceeded');
  expect(`${message}\n${message.toLowerCase()}`).toContain(words);
});
