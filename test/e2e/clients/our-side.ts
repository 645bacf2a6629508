import './shared-stack.js';
import OpenAI, { type ClientOptions } from 'openai';
import { inject } from 'vitest';

/** Where Millrace is. */
export const url = inject('stackUrl');

/** What was kept would pass for computed, and be the same. */
export const COMPUTED = { 'x-millrace-cache': 'off' };

export function openai(options: ClientOptions = {}): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: 'any', maxRetries: 0, defaultHeaders: COMPUTED, ...options });
}
