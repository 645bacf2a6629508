import type { ChatChunk, ChatCompletion, ModelDescription, PlainAnswerBody, PlainPieceBody } from '@millrace/contracts';
import type { WorkerClient } from '../dispatch/worker-client.js';
import type { WorkerDirectory } from '../routing/worker-directory.js';
import { inPlainWords, parsePlainChat } from '../validation/parse-plain-chat.js';
import type { Call } from '../vocabulary.js';
import { endedEarly } from './answer-heading.js';
import type { CompleteChat } from './complete-chat.js';

export type PlainAnswer =
  | { readonly kind: 'whole'; readonly body: PlainAnswerBody }
  | { readonly kind: 'stream'; readonly chunks: AsyncIterable<readonly PlainPieceBody[]> };

type Last = Exclude<PlainPieceBody, { text: string }>;

/** Who answers where no provider is asked. */
export const OURSELVES = 'millrace';

/** POST /chat: the way of /v1/chat/completions, with other words at both of its ends. */
export class PlainChat {
  constructor(
    private readonly completeChat: CompleteChat,
    private readonly directory: Pick<WorkerDirectory<WorkerClient>, 'models'>,
  ) {}

  async run(body: unknown, call: Call): Promise<PlainAnswer> {
    try {
      const answer = await this.completeChat.run(body, call, parsePlainChat);
      if (answer.kind === 'stream') return { kind: 'stream', chunks: this.#pieces(answer.chunks, call) };
      return { kind: 'whole', body: this.#whole(answer.body, call) };
    } catch (error) {
      throw inPlainWords(error);
    }
  }

  #whole({ id, model, choices: [choice], usage }: ChatCompletion, call: Call): PlainAnswerBody {
    const { message, finish_reason } = choice!;
    return { text: message.content ?? '', ...this.#last({ id, model, finish_reason, usage }, call) };
  }

  async *#pieces(chunks: AsyncIterable<readonly ChatChunk[]>, call: Call): AsyncGenerator<readonly PlainPieceBody[]> {
    let finishReason: Last['finish_reason'] | null = null;
    try {
      for await (const several of chunks) {
        const pieces: PlainPieceBody[] = [];
        for (const {
          id,
          model,
          choices: [choice],
          usage,
        } of several) {
          const { content } = choice?.delta ?? {};
          if (content) pieces.push({ text: content });
          finishReason = choice?.finish_reason ?? finishReason;
          if (!usage) continue;
          if (finishReason === null) throw endedEarly();
          pieces.push(this.#last({ id, model, finish_reason: finishReason, usage }, call));
        }
        if (pieces.length > 0) yield pieces;
      }
    } catch (error) {
      throw inPlainWords(error);
    }
  }

  #last({ id, model, finish_reason, usage }: Omit<Last, 'provider' | 'latency_ms'>, { arrivedMs }: Call): Last {
    return {
      provider: providerOf(this.directory.models()?.find((one) => one.id === model)),
      model,
      usage,
      latency_ms: Math.round(performance.now() - arrivedMs),
      finish_reason,
      id,
    };
  }
}

export function providerOf(model: ModelDescription | undefined): string {
  return model?.provider?.name ?? OURSELVES;
}
