import { type ChatMessage, InferenceError, type ResponseItem } from '@millrace/contracts';
import type { PlacedItem } from './response-items.js';
import { FILE_SEARCH_FUNCTION, resultsText } from './searched-files.js';
import { show } from './show-value.js';

type ItemOf<Type extends ResponseItem['type']> = Extract<ResponseItem, { type: Type }>;
type AnswerMessage = Extract<ChatMessage, { role: 'assistant' }>;
type ToolCall = NonNullable<AnswerMessage['tool_calls']>[number];

/** What one answer becomes: thoughts, then a text, then calls, of which each has a result behind it. */
interface Answer {
  readonly thoughts: string[];
  readonly texts: string[];
  readonly calls: ToolCall[];
  readonly results: (string | undefined)[];
  /** Its last item was a text: one more is another answer, as a client writes them that says two things in a row. */
  justSaid: boolean;
  /** A result came: what comes next is another answer. */
  over: boolean;
}

interface OpenCall {
  readonly answer: Answer;
  readonly index: number;
  /** It was never made, since the answer ended before it did: it need not have a result, and is left out without one. */
  readonly cut: boolean;
}

/**
 * Items as the messages of a chat, in which thoughts, texts and calls of one answer are one message, whatever order they came in, and a result
 * stands right behind the message of its call: templates and models know no other order.
 *
 * @throws InferenceError where a call has no result, or a result no call.
 */
export function messagesOf(items: readonly PlacedItem[]): readonly ChatMessage[] {
  const turns = new Turns();
  for (const { item, place } of items) turns.add(item, place);
  return turns.messages();
}

class Turns {
  readonly #turns: (ChatMessage | Answer)[] = [];
  /** Of calls that have no result yet, by their ids: agents may well give an id again once its call was answered. */
  readonly #open = new Map<string, OpenCall>();
  #answer: Answer | undefined;

  add(item: ResponseItem, place: string | undefined): void {
    switch (item.type) {
      case 'message':
        if (item.role === 'assistant') this.#text(item);
        else this.#message({ role: item.role, content: joined(item.content) });
        break;
      case 'reasoning':
        this.#answerThat().thoughts.push(thoughtOf(item));
        break;
      case 'function_call':
        this.#call(item, place);
        break;
      case 'function_call_output':
        this.#result(item, place);
        break;
      case 'file_search_call':
        this.#search(item, place);
    }
  }

  messages(): readonly ChatMessage[] {
    for (const [id, { cut }] of this.#open) if (!cut) throw noOutput(id);
    return this.#turns.flatMap((turn) => ('role' in turn ? [turn] : answered(turn)));
  }

  #message(message: ChatMessage): void {
    this.#answer = undefined;
    this.#turns.push(message);
  }

  /** The answer that goes on, if it can; a new one if not. @param says whether what comes is a text. */
  #answerThat(says = false): Answer {
    if (this.#answer === undefined || this.#answer.over || (says && this.#answer.justSaid)) {
      this.#answer = { thoughts: [], texts: [], calls: [], results: [], justSaid: false, over: false };
      this.#turns.push(this.#answer);
    }
    this.#answer.justSaid = says;
    return this.#answer;
  }

  #text({ content }: Extract<ItemOf<'message'>, { role: 'assistant' }>): void {
    this.#answerThat(true).texts.push(
      content.map((part) => (part.type === 'refusal' ? part.refusal : part.text)).join('\n'),
    );
  }

  #call(
    call: Pick<ItemOf<'function_call'>, 'call_id' | 'name' | 'arguments' | 'status'>,
    place: string | undefined,
  ): void {
    const { call_id: id, name, arguments: text, status } = call;
    if (this.#open.has(id)) throw twiceCalled(id, place);
    const answer = this.#answerThat();
    this.#open.set(id, { answer, index: answer.calls.length, cut: status === 'incomplete' });
    answer.calls.push({ id, type: 'function', function: { name, arguments: text } });
    answer.results.push(undefined);
  }

  #result({ call_id: id, output }: ItemOf<'function_call_output'>, place: string | undefined): void {
    const call = this.#open.get(id);
    if (call === undefined) throw noCall(id, place);
    this.#open.delete(id);
    call.answer.over = true;
    call.answer.results[call.index] = typeof output === 'string' ? output : joined(output);
  }

  /** Without its results, as it was told if nobody asked for them, there is nothing to show the model: it may search again. */
  #search({ id, queries, results }: ItemOf<'file_search_call'>, place: string | undefined): void {
    if (results === null) {
      if (this.#answer !== undefined) this.#answer.justSaid = false;
      return;
    }
    const text = JSON.stringify({ queries });
    this.#call({ call_id: id, name: FILE_SEARCH_FUNCTION, arguments: text, status: 'completed' }, place);
    this.#result(
      { id, type: 'function_call_output', call_id: id, output: resultsText(results), status: 'completed' },
      place,
    );
  }
}

function answered({ thoughts, texts, calls: made, results: all }: Answer): ChatMessage[] {
  const calls = made.filter((_, index) => all[index] !== undefined);
  const results = all.filter((result) => result !== undefined);
  const thought = inOne(thoughts);
  const message: AnswerMessage = {
    role: 'assistant',
    // Of an answer that only calls there is no text; one without anything is an empty text, and not nothing.
    content: texts.length === 0 && calls.length > 0 ? null : inOne(texts),
    ...(thought !== '' && { reasoning_content: thought }),
    ...(calls.length > 0 && { tool_calls: calls }),
  };
  return [
    message,
    ...calls.map(({ id }, index): ChatMessage => ({ role: 'tool', tool_call_id: id, content: results[index]! })),
  ];
}

function inOne(texts: readonly string[]): string {
  return texts.filter((text) => text !== '').join('\n');
}

function joined(parts: readonly { readonly text: string }[]): string {
  return parts.map(({ text }) => text).join('\n');
}

/** Clients that know of no `content` send what they were told as `summary`. */
function thoughtOf({ content, summary }: ItemOf<'reasoning'>): string {
  return joined(content.length > 0 ? content : summary);
}

/** The beginnings of these are OpenAI's words: clients of agents look for them. */
function noOutput(id: string): InferenceError {
  return new InferenceError(
    'invalid_request',
    `No tool output found for function call ${id.slice(0, 100)}. Send a function_call_output with this call_id behind it.`,
    { param: 'input' },
  );
}

function noCall(id: string, place: string | undefined): InferenceError {
  return new InferenceError(
    'invalid_request',
    `No tool call found for function call output with call_id ${id.slice(0, 100)}: before it there is no function_call of that call_id that has no output yet. Send the call as well, or go on from the response that made it.`,
    { param: place === undefined ? 'input' : `${place}.call_id` },
  );
}

function twiceCalled(id: string, place: string | undefined): InferenceError {
  const param = place === undefined ? 'input' : `${place}.call_id`;
  return new InferenceError(
    'invalid_request',
    `\`${param}\` is ${show(id)}, as that of a call before it is, which has no output yet. Give each its own.`,
    { param },
  );
}
