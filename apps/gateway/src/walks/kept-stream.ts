import type { ChatChunk, ChatCompletion, UsageBody } from '@millrace/contracts';

type StreamedChoice = ChatChunk['choices'][number];
type Message = ChatCompletion['choices'][number]['message'];

/** Where it goes. */
export interface Keeper {
  readonly bytesMax: number;
  keep(completion: ChatCompletion): Promise<void>;
  outgrown(id: string): void;
}

/**
 * The same chunks, and behind the last of them the answer that they make, to be kept. It is put together from the very chunks that the
 * client got, whose ids of calls it must have; nothing is written as JSON for it before the end, and one that is certainly too long to be
 * kept is not held.
 *
 * The end of the stream waits until it is kept, and no chunk before it does. A stream that is left or fails keeps nothing.
 */
export async function* keptStream(
  chunks: AsyncGenerator<readonly ChatChunk[], UsageBody>,
  keeper: Keeper,
): AsyncGenerator<readonly ChatChunk[]> {
  let seen: SeenChunks | undefined = new SeenChunks();
  try {
    for (let next = await chunks.next(); ; next = await chunks.next()) {
      if (next.done) return await (seen && keeper.keep(seen.whole(next.value)));
      for (const chunk of next.value) seen?.add(chunk);
      if (seen !== undefined && seen.bytesAtLeast > keeper.bytesMax) {
        keeper.outgrown(next.value[0]!.id);
        seen = undefined;
      }
      yield next.value;
    }
  } finally {
    await chunks.return(undefined as never); // Whoever left waits for no more of it.
  }
}

interface Choice {
  readonly message: Message;
  readonly logprobs: NonNullable<StreamedChoice['logprobs']>['content'];
  /** Whether any came: with none, there is not even an empty list. */
  hasLogprobs: boolean;
  finishReason: StreamedChoice['finish_reason'];
}

/** Of a token and its log-probability, and of each that it might have been: brackets and names alone are more than that. */
const CHANCE_BYTES_MIN = 36;

class SeenChunks {
  /** Of the answer as JSON. */
  bytesAtLeast = 0;
  #head: Omit<ChatCompletion, 'object' | 'choices' | 'usage'> | undefined;
  readonly #choices: Choice[] = [];

  add({ object: _, choices, usage: __, ...head }: ChatChunk): void {
    this.#head ??= head;
    for (const streamed of choices) {
      this.bytesAtLeast += bytesAtLeast(streamed);
      this.#choices[streamed.index] ??= newChoice();
      addTo(this.#choices[streamed.index]!, streamed);
    }
  }

  whole(usage: UsageBody): ChatCompletion {
    const { id, created, model, service_tier, system_fingerprint } = this.#head!;
    return {
      id,
      object: 'chat.completion',
      created,
      model,
      ...(service_tier && { service_tier }),
      choices: this.#choices.map(({ message, logprobs, hasLogprobs, finishReason }, index) => ({
        index,
        message,
        logprobs: hasLogprobs ? { content: logprobs, refusal: null } : null,
        finish_reason: finishReason!,
      })),
      usage,
      system_fingerprint,
    };
  }
}

function bytesAtLeast({ delta, logprobs }: StreamedChoice): number {
  const { content, reasoning_content, tool_calls = [], function_call } = delta;
  const texts = [
    content,
    reasoning_content,
    function_call?.arguments,
    ...tool_calls.map((one) => one.function.arguments),
  ];
  const chances = logprobs?.content.map(({ top_logprobs }) => 1 + top_logprobs.length) ?? [];
  const sum = (numbers: readonly number[]) => numbers.reduce((all, one) => all + one, 0);
  return sum(texts.map((text) => text?.length ?? 0)) + CHANCE_BYTES_MIN * sum(chances);
}

function newChoice(): Choice {
  return {
    message: { role: 'assistant', content: '', refusal: null },
    logprobs: [],
    hasLogprobs: false,
    finishReason: null,
  };
}

function addTo(choice: Choice, { delta, logprobs, finish_reason }: StreamedChoice): void {
  const { message } = choice;
  message.content += delta.content ?? '';
  if (delta.reasoning_content) message.reasoning_content = (message.reasoning_content ?? '') + delta.reasoning_content;
  if (delta.annotations) message.annotations = delta.annotations;
  addCalls(message, delta);
  if (logprobs) {
    choice.hasLogprobs = true;
    for (const one of logprobs.content) choice.logprobs.push(one);
  }
  if (finish_reason === null) return;
  choice.finishReason = finish_reason;
  if (message.content === '' && (message.tool_calls || message.function_call)) message.content = null;
}

function addCalls(message: Message, { tool_calls = [], function_call: old }: StreamedChoice['delta']): void {
  for (const call of tool_calls) {
    message.tool_calls ??= [];
    // The first piece of each says whose it is.
    if ('id' in call) message.tool_calls[call.index] = { id: call.id, type: call.type, function: { ...call.function } };
    else message.tool_calls[call.index]!.function.arguments += call.function.arguments;
  }
  if (old === undefined) return;
  if ('name' in old) message.function_call = { ...old };
  else message.function_call!.arguments += old.arguments;
}
