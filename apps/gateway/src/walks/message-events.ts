import type { FinishReason, MessageAnswerBlock, MessageAnswerBody, MessageEvent, Usage } from '@millrace/contracts';
import type { SequenceEvent, ThoughtsTold, ValidMessagesRequest } from '../vocabulary.js';
import { type Answering, endedEarly } from './answer-heading.js';
import { newCallId } from './call-id.js';
import { type CallPart, type Part, PartsInOrder } from './parts-in-order.js';

type EventOf<Type extends MessageEvent['type']> = Extract<MessageEvent, { type: Type }>;
type Delta = EventOf<'content_block_delta'>['delta'];
type BlockType = MessageAnswerBlock['type'];
type Finished = Extract<SequenceEvent, { kind: 'finished' }>;
type Tokens = Extract<SequenceEvent, { kind: 'tokens' }>;

/** What a message says of itself before there is any of it. */
export interface MessageHeading extends Answering {
  readonly id: string;
}

/** Nobody checks it here: thoughts that come back are read, whoever thought them. Clients drop those that have none. */
const SIGNATURE = 'millrace';

/**
 * An answer as Anthropic streams it: the message without content, then one content block after another, each opened, written and closed,
 * then why it ended and what it took. The events of one event of the sequence come together, to be written together.
 */
export async function* messageEvents(
  events: AsyncIterable<SequenceEvent>,
  heading: MessageHeading,
  request: ValidMessagesRequest,
): AsyncGenerator<readonly MessageEvent[]> {
  const blocks = new ContentBlocks(request.thoughtsTold);
  let ended = false;
  for await (const event of events) {
    if (event.kind === 'begun') {
      const { promptTokens, cachedTokens } = event;
      yield [opening(heading, { promptTokens, cachedTokens, completionTokens: 0 }), { type: 'ping' }];
    }
    if (event.kind === 'tokens') {
      const told = blocks.add(event);
      if (told.length > 0) yield told;
    }
    if (event.kind === 'finished') {
      ended = true;
      yield [...blocks.end(), closing(event, blocks.calls, heading, request), { type: 'message_stop' }];
    }
  }
  if (!ended) throw endedEarly();
}

/** The same answer in one piece: its stream, collected. */
export async function collectMessage(events: AsyncIterable<readonly MessageEvent[]>): Promise<MessageAnswerBody> {
  let message: MessageAnswerBody | undefined;
  const content: MessageAnswerBlock[] = [];
  const unbegun = new Set<MessageAnswerBlock>();
  let input = '';
  for await (const several of events) {
    for (const event of several) {
      if (event.type === 'message_start') message = { ...event.message, content };
      if (event.type === 'content_block_start') {
        content.push({ ...event.content_block });
        input = '';
      }
      if (event.type === 'content_block_delta') input += collect(content.at(-1)!, event.delta);
      if (event.type === 'content_block_stop') closeCall(content, input, unbegun);
      if (event.type === 'message_delta' && message !== undefined) {
        // Which only the reason tells from calls of tools that take no arguments.
        const cut = event.delta.stop_reason !== 'tool_use';
        const told = cut ? content.filter((block) => !unbegun.has(block)) : content;
        message = { ...message, ...event.delta, content: told, usage: { ...message.usage, ...event.usage } };
      }
    }
  }
  if (message === undefined) throw endedEarly();
  return message;
}

/** @returns what a call's input has more of. */
function collect(block: MessageAnswerBlock, delta: Delta): string {
  if (delta.type === 'input_json_delta') return delta.partial_json;
  if (delta.type === 'text_delta' && block.type === 'text') block.text += delta.text;
  if (delta.type === 'thinking_delta' && block.type === 'thinking') block.thinking += delta.thinking;
  if (delta.type === 'signature_delta' && block.type === 'thinking') block.signature += delta.signature;
  return '';
}

/**
 * Of an answer that was cut in the midst of calls, these are left out: somebody might carry out half of one.
 *
 * @param unbegun calls whose arguments have not even begun.
 */
function closeCall(content: MessageAnswerBlock[], input: string, unbegun: Set<MessageAnswerBlock>): void {
  const block = content.at(-1)!;
  if (block.type !== 'tool_use') return;
  if (input === '') return void unbegun.add(block);
  try {
    block.input = JSON.parse(input);
  } catch {
    content.pop();
  }
}

function opening({ id, answeredBy }: MessageHeading, usage: Usage): EventOf<'message_start'> {
  return {
    type: 'message_start',
    message: {
      id,
      type: 'message',
      role: 'assistant',
      model: answeredBy.id,
      content: [],
      ...NOT_ENDED,
      diagnostics: null,
      usage: { ...usageOf(usage), ...SAME_FOR_ALL },
    },
  };
}

const SAME_FOR_ALL = {
  cache_creation: null,
  inference_geo: null,
  service_tier: 'standard',
  speed: 'standard',
} as const;
const NOT_ENDED = { stop_reason: null, stop_sequence: null, stop_details: null, container: null } as const;

function closing(
  { reason, usage, stopText }: Finished,
  calls: number,
  { answeredBy }: MessageHeading,
  request: ValidMessagesRequest,
): EventOf<'message_delta'> {
  const { promptTokens, completionTokens } = usage;
  const isFull = answeredBy.contextLength > 0 && promptTokens + completionTokens >= answeredBy.contextLength;
  const ending = { reason, stopText, calls, isFull: isFull && completionTokens < request.maxTokens };
  return { type: 'message_delta', delta: { ...NOT_ENDED, ...deltaOf(ending) }, usage: usageOf(usage) };
}

function deltaOf(ending: {
  readonly reason: FinishReason;
  readonly stopText: string | undefined;
  readonly calls: number;
  /** The context, before as many tokens had come as were asked for. */
  readonly isFull: boolean;
}): Partial<EventOf<'message_delta'>['delta']> {
  const { reason, stopText, calls, isFull } = ending;
  if (reason === 'length') return { stop_reason: isFull ? 'model_context_window_exceeded' : 'max_tokens' };
  if (reason === 'content_filter') {
    return { stop_reason: 'refusal', stop_details: { type: 'refusal', category: null, explanation: null } };
  }
  // An answer with calls waits for their results, however its engine says that it ended; one without waits for none.
  if (calls > 0) return { stop_reason: 'tool_use' };
  return stopText === undefined
    ? { stop_reason: 'end_turn' }
    : { stop_reason: 'stop_sequence', stop_sequence: stopText };
}

function usageOf({ promptTokens, cachedTokens, completionTokens, reasoningTokens = 0 }: Usage) {
  return {
    // Anthropic's prompt is the sum of these three.
    input_tokens: Math.max(0, promptTokens - cachedTokens),
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: cachedTokens,
    output_tokens: completionTokens,
    output_tokens_details: { thinking_tokens: reasoningTokens },
    server_tool_use: null,
  };
}

/** One block is open at a time; what belongs to another closes it, and nothing opens it again. */
class ContentBlocks {
  readonly #parts = new PartsInOrder();
  #index = -1;
  #open: BlockType | undefined;
  #calls = 0;

  constructor(private readonly thoughtsTold: ThoughtsTold) {}

  /** How many tools were called. */
  get calls(): number {
    return this.#calls;
  }

  add(tokens: Tokens): MessageEvent[] {
    return this.#parts.add(tokens).flatMap((part) => this.#tell(part));
  }

  /** What was held back, and the end of the last block. */
  end(): MessageEvent[] {
    return [...this.#parts.end().flatMap((part) => this.#tell(part)), ...this.close()];
  }

  close(): MessageEvent[] {
    const open = this.#open;
    if (open === undefined) return [];
    this.#open = undefined;
    const signed = open === 'thinking' ? [this.#delta({ type: 'signature_delta', signature: SIGNATURE })] : [];
    return [...signed, { type: 'content_block_stop', index: this.#index }];
  }

  #tell(part: Part): MessageEvent[] {
    if (part.kind === 'call') return this.#callPiece(part);
    return part.kind === 'thought' ? this.#thought(part.text) : this.#text(part.text);
  }

  #thought(thinking: string): MessageEvent[] {
    if (this.thoughtsTold === 'none') return [];
    const opened = this.#openAs('thinking', { type: 'thinking', thinking: '', signature: '' });
    return this.thoughtsTold === 'omitted' ? opened : [...opened, this.#delta({ type: 'thinking_delta', thinking })];
  }

  #text(text: string): MessageEvent[] {
    if (text === '') return [];
    const opened = this.#openAs('text', { type: 'text', text: '', citations: null });
    return [...opened, this.#delta({ type: 'text_delta', text })];
  }

  #callPiece({ name, arguments: json }: CallPart): MessageEvent[] {
    const events: MessageEvent[] = [];
    if (name !== undefined) {
      this.#calls++;
      const block = { type: 'tool_use', id: newCallId('toolu'), name, input: {}, caller: { type: 'direct' } } as const;
      events.push(...this.close(), ...this.#openAs('tool_use', block));
    }
    if (json !== '') events.push(this.#delta({ type: 'input_json_delta', partial_json: json }));
    return events;
  }

  /** What closes the block before, if another was open, and opens this one. */
  #openAs(type: BlockType, block: MessageAnswerBlock): MessageEvent[] {
    if (this.#open === type) return [];
    const closed = this.close();
    this.#open = type;
    this.#index++;
    return [...closed, { type: 'content_block_start', index: this.#index, content_block: block }];
  }

  #delta(delta: Delta): EventOf<'content_block_delta'> {
    return { type: 'content_block_delta', index: this.#index, delta };
  }
}
