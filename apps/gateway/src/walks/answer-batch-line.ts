import { type BatchEndpoint, InferenceError } from '@millrace/contracts';
import type { LineAnswer, LineUsage } from '../batch-jobs/line-outcome.js';
import type { LineRequest } from '../batch-jobs/run-slice.js';
import type { Call, Caller } from '../vocabulary.js';
import { backgroundCall } from './background-call.js';
import type { CompleteChat } from './complete-chat.js';
import type { CompleteText } from './complete-text.js';
import type { Embed } from './embed.js';
import type { Moderate, Moderated } from './moderate.js';
import type { Respond, ResponseAnswer } from './respond.js';

/** Gives a request's answer as its endpoint does. */
type Walk = (body: object, call: Call) => Promise<LineAnswer>;

/** A line of a batch takes the way of the same request over HTTP, in the name of whoever made the batch, and behind everybody else. */
export class AnswerBatchLine {
  readonly #walks: Readonly<Record<BatchEndpoint, Walk>>;

  constructor(chat: CompleteChat, respond: Respond, text: CompleteText, embed: Embed, moderate: Moderate) {
    this.#walks = {
      '/v1/chat/completions': async (body, call) => wholeAnswer(await chat.run(body, call)),
      '/v1/responses': async (body, call) => wholeResponse(await respond.run(body, call)),
      '/v1/completions': async (body, call) => wholeAnswer(await text.run(body, call)),
      '/v1/embeddings': async (body, call) => {
        const json = await embed.run(body, call);
        return { json, usage: { ...NO_USAGE, inputTokens: promptTokensOf(json) } };
      },
      '/v1/moderations': async (body, call) => wholeVerdicts(await moderate.run(body, call)),
    };
  }

  run({ endpoint, body, bodyBytes, requestId }: LineRequest, caller: Caller, signal: AbortSignal): Promise<LineAnswer> {
    return this.#walks[endpoint](body, backgroundCall({ requestId, caller, bodyBytes }, signal));
  }
}

function wholeResponse(answer: ResponseAnswer): LineAnswer {
  if (answer.kind === 'stream') throw streamed();
  const { usage } = answer.body;
  return {
    json: JSON.stringify(answer.body),
    usage: {
      inputTokens: usage?.input_tokens ?? 0,
      cachedTokens: usage?.input_tokens_details.cached_tokens ?? 0,
      outputTokens: usage?.output_tokens ?? 0,
      reasoningTokens: usage?.output_tokens_details.reasoning_tokens ?? 0,
    },
  };
}

function wholeVerdicts({ body, usage }: Moderated): LineAnswer {
  const { promptTokens, cachedTokens, completionTokens, reasoningTokens } = usage;
  return {
    json: JSON.stringify(body),
    usage: { inputTokens: promptTokens, cachedTokens, outputTokens: completionTokens, reasoningTokens },
  };
}

/** A line that asks for a stream was refused when it was read. */
function streamed(): InferenceError {
  return new InferenceError('internal_error', 'A line of a batch can not be streamed.');
}

interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly prompt_tokens_details?: { readonly cached_tokens?: number } | null;
  readonly completion_tokens_details?: { readonly reasoning_tokens?: number } | null;
}

const NO_USAGE: LineUsage = { inputTokens: 0, cachedTokens: 0, outputTokens: 0, reasoningTokens: 0 };

function wholeAnswer(
  answer:
    | { readonly kind: 'whole'; readonly body: { readonly usage?: Usage | null | undefined } }
    | { readonly kind: 'stream' },
): LineAnswer {
  if (answer.kind === 'stream') throw streamed();
  const { usage } = answer.body;
  return {
    json: JSON.stringify(answer.body),
    usage: {
      inputTokens: usage?.prompt_tokens ?? 0,
      cachedTokens: usage?.prompt_tokens_details?.cached_tokens ?? 0,
      outputTokens: usage?.completion_tokens ?? 0,
      reasoningTokens: usage?.completion_tokens_details?.reasoning_tokens ?? 0,
    },
  };
}

/** They stand behind the vectors, which may be millions of numbers and are not read again for it. */
function promptTokensOf(json: string): number {
  return Number(/"prompt_tokens":(\d+)/.exec(json.slice(-200))?.[1] ?? 0);
}
