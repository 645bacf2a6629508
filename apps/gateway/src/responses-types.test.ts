import type { InputItem, ResponseBody, ResponseEvent, ResponseItem } from '@millrace/contracts';
import type OpenAI from 'openai';
import { expect, it } from 'vitest';

/**
 * Filters of tools are whatever was sent and understood; the usage is null until it is known, at OpenAI too; the text of all messages the client
 * puts together by itself.
 */
type AsSent<R> = Omit<R, 'output_text' | 'tools' | 'usage'>;
type WithoutResponse = Exclude<ResponseEvent, { response: unknown }>;

it('is of the official client’s types, whatever goes out, and can be sent back', () => {
  // The compiler looks: each of these is a type of ours where one of the client's is wanted.
  const responses = (body: ResponseBody): AsSent<OpenAI.Responses.Response> => body;
  const events = (event: WithoutResponse): OpenAI.Responses.ResponseStreamEvent => event;
  const items = (item: ResponseItem): OpenAI.Responses.ResponseItem => item;
  const back = (item: ResponseItem): InputItem => item;
  expect([responses, events, items, back]).toHaveLength(4);
});
