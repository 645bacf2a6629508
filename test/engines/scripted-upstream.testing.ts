import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  beginStream,
  delta,
  event,
  json,
  type ScriptedUpstream,
  startUpstream,
} from '../../libs/openai-engine/src/upstream.testing.ts';

export interface UpstreamScript {
  /** What it says to the last message. */
  says(question: string): { readonly text: string; readonly reasoning?: string };
  /** The arguments with which it calls the first tool, where it is asked this and may call. */
  readonly call: { readonly question: string; readonly arguments: string };
  /** What it says when it is bound by a schema. */
  readonly json: string;
  /** Words that a prompt may have. */
  readonly promptWordsMax: number;
}

/** What of a request it reads; the rest it passes over. */
interface Body {
  readonly messages: readonly { readonly content: string }[];
  readonly max_tokens?: number;
  readonly max_completion_tokens?: number;
  /** The last message is the beginning of the answer. */
  readonly continue_final_message?: boolean;
  readonly stop?: readonly string[] | null;
  readonly tools?: readonly { readonly function: { readonly name: string } }[];
  readonly tool_choice?: unknown;
  readonly response_format?: { readonly json_schema?: { readonly schema?: object } };
}

/** Characters of a token. */
const TOKEN_CHARACTERS = 3;

/** A server that answers chats by a script, token by token, and obeys limits, stop texts and choices of tools. */
export function startScriptedUpstream(script: UpstreamScript): Promise<ScriptedUpstream> {
  return startUpstream(async (response, call) => {
    const refusal = refusalOf(call.body, script);
    if (refusal === undefined) await new Answer(script, call.body, response).send();
    else json(400, { error: { type: 'invalid_request_error', param: null, ...refusal } })(response, call);
  });
}

function refusalOf({ messages, response_format }: Body, { promptWordsMax }: UpstreamScript) {
  const words = messages.flatMap(({ content }) => content.split(' ')).length;
  if (words > promptWordsMax) {
    return { code: 'context_length_exceeded', message: `The prompt has ${words} words; ${promptWordsMax} are read.` };
  }
  const { schema } = response_format?.json_schema ?? {};
  if (schema === undefined || !('$ref' in schema)) return undefined;
  return { code: 'invalid_request', message: 'The schema refers to a definition that is not there.' };
}

class Answer {
  #tokens = 0;
  #left = false;

  constructor(
    private readonly script: UpstreamScript,
    private readonly body: Body,
    private readonly response: ServerResponse,
  ) {
    response.once('close', () => {
      this.#left = true;
    });
  }

  async send(): Promise<void> {
    beginStream(this.response);
    await this.#chunk(delta({ role: 'assistant', content: '' }));
    await this.#chunk(delta({}, await this.#speak()));
    const usage = { prompt_tokens: 7, completion_tokens: this.#tokens, total_tokens: 7 + this.#tokens };
    await this.#chunk({ choices: [], usage });
    this.response.end('data: [DONE]\n\n');
  }

  /** Why it ends. */
  async #speak(): Promise<string> {
    const { messages, tools, tool_choice, response_format } = this.body;
    const begun = this.body.continue_final_message ? messages.at(-1)!.content : '';
    const question = messages.at(begun === '' ? -1 : -2)!.content;
    const { call, json: bound, says } = this.script;
    if (tools !== undefined && tool_choice !== 'none' && question === call.question) {
      return this.#call(tools[0]!.function.name, call.arguments);
    }
    const { text: said, reasoning = '' } = response_format === undefined ? says(question) : { text: bound };
    const text = said.startsWith(begun) ? said.slice(begun.length) : said;
    const complete = await this.#say(reasoning, (piece) => ({ reasoning_content: piece }));
    const [before, ...behind] = text.split(firstOf(this.body.stop ?? [], text));
    const stopped = (this.body.stop ?? []).length > 0 && behind.length > 0;
    return complete && (await this.#say(stopped ? before! : text, (content) => ({ content }))) ? 'stop' : 'length';
  }

  async #call(name: string, text: string): Promise<string> {
    const piece = (part: object) => ({ tool_calls: [{ index: 0, ...part }] });
    await this.#chunk(delta(piece({ id: 'x1', type: 'function', function: { name, arguments: '' } })));
    const complete = await this.#say(text, (part) => piece({ function: { arguments: part } }));
    return complete ? 'tool_calls' : 'length';
  }

  /** False where the limit cuts it off. */
  async #say(text: string, contentOf: (piece: string) => Record<string, unknown>): Promise<boolean> {
    const characters = [...text];
    for (let at = 0; at < characters.length; at += TOKEN_CHARACTERS) {
      if (this.#tokens === (this.body.max_tokens ?? this.body.max_completion_tokens ?? Number.POSITIVE_INFINITY))
        return false;
      this.#tokens++;
      await this.#chunk(delta(contentOf(characters.slice(at, at + TOKEN_CHARACTERS).join(''))));
    }
    return true;
  }

  /** Waits for a reader that is slow, as a server of many does. */
  async #chunk(chunk: unknown): Promise<void> {
    if (this.#left) return;
    if (this.response.write(event(chunk))) await nextTurn();
    else await Promise.race([once(this.response, 'drain'), once(this.response, 'close')]);
  }
}

/** The stop text that comes first in `text`; any text that does not occur, where none does. */
function firstOf(stops: readonly string[], text: string): string {
  const found = stops.filter((stop) => text.includes(stop)).sort((a, b) => text.indexOf(a) - text.indexOf(b));
  return found[0] ?? '\0';
}
