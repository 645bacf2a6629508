import type { ChatMessage } from '@millrace/contracts';
import { EventSourceParserStream } from 'eventsource-parser/stream';
import { CommandError } from '../command.js';
import { askGateway, messageOf } from '../gateway-client.js';

export interface Question {
  readonly url: string;
  /** Such as the one with the API key. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly model: string | undefined;
  readonly messages: readonly ChatMessage[];
  readonly temperature: number | undefined;
  readonly maxTokens: number | undefined;
}

export interface ChatUsage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
}

export interface Reply {
  readonly answer: string;
  readonly model: string;
  readonly finishReason: string | undefined;
  readonly usage: ChatUsage | undefined;
  readonly latencyMs: { readonly firstToken: number | undefined; readonly total: number };
}

/** The parts of a chunk that are read here. */
interface Chunk {
  readonly model?: string;
  readonly choices?: readonly {
    readonly delta?: { readonly content?: string | null };
    readonly finish_reason?: string;
  }[];
  readonly usage?: ChatUsage | null;
  readonly error?: unknown;
}

/**
 * One question to `POST /v1/chat/completions`, streamed: `onText` gets the answer piece by piece.
 *
 * @throws CommandError with the server's own sentence when it refuses or fails, also in the middle of the answer.
 */
export async function ask(question: Question, onText: (text: string) => void, signal: AbortSignal): Promise<Reply> {
  const startedMs = performance.now();
  const response = await askGateway(question.url, '/v1/chat/completions', {
    method: 'POST',
    headers: { ...question.headers, 'content-type': 'application/json' },
    body: JSON.stringify(bodyOf(question)),
    signal,
  });

  let answer = '';
  let model = question.model ?? '';
  let firstToken: number | undefined;
  let finishReason: string | undefined;
  let usage: ChatUsage | undefined;
  for await (const chunk of chunksOf(response)) {
    model = chunk.model ?? model;
    usage = chunk.usage ?? usage;
    finishReason = chunk.choices?.[0]?.finish_reason ?? finishReason;
    const text = chunk.choices?.[0]?.delta?.content ?? '';
    if (text === '') continue;
    firstToken ??= performance.now() - startedMs;
    answer += text;
    onText(text);
  }
  return { answer, model, finishReason, usage, latencyMs: { firstToken, total: performance.now() - startedMs } };
}

function bodyOf({ model, messages, temperature, maxTokens }: Question): Record<string, unknown> {
  return {
    model, // `undefined` leaves no trace in JSON: the server then takes its default.
    messages,
    temperature,
    max_completion_tokens: maxTokens,
    stream: true,
    stream_options: { include_usage: true },
  };
}

async function* chunksOf(response: Response): AsyncGenerator<Chunk> {
  const events = response.body!.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream());
  for await (const { data } of events) {
    if (data === '[DONE]') return;
    const chunk = JSON.parse(data) as Chunk;
    if (chunk.error !== undefined) throw new CommandError(messageOf(data) ?? 'The server failed in mid-answer.');
    yield chunk;
  }
  throw new CommandError('The connection ended before the answer was complete. Ask again.');
}
