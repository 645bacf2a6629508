import {
  InferenceError,
  MODERATION_CATEGORIES,
  type ModelDescription,
  type ModerationBody,
  type ModerationCategory,
  type TokenLogprob,
} from '@millrace/contracts';
import { randomHex } from '@millrace/runtime';
import type { ModelCatalog } from '../validation/model-catalog.js';
import { parseModerationRequest } from '../validation/parse-moderation-request.js';
import type { Call, SequenceEvent } from '../vocabulary.js';
import type { CompleteChat } from './complete-chat.js';
import { type GuardVerdict, guardVerdict } from './guard-verdict.js';
import { tellOverhead } from './overhead.js';

type Result = ModerationBody['results'][number];

/** POST /v1/moderations: the way of a chat, with a model that answers each text with a verdict. */
export class Moderate {
  /** There are no more than models that were ever served. */
  readonly #withoutLogprobs = new Set<string>();

  /** @param model the setting `moderationModel`. */
  constructor(
    private readonly completeChat: Pick<CompleteChat, 'enter' | 'generate'>,
    private readonly model: string | undefined,
  ) {}

  /**
   * Some servers behind a model (Ollama, Groq) tell no log-probabilities, and refuse whoever asks for them. Such a model is asked once more,
   * without, and from then on without: the request that was refused has cost its caller a place in its rate, and has a record of its own.
   */
  async run(body: unknown, call: Call): Promise<ModerationBody> {
    try {
      return await this.#judge(body, call, true);
    } catch (error) {
      if (!(error instanceof NoLogprobs)) throw error;
      this.#withoutLogprobs.add(engineOf(error.model));
      return this.#judge(body, call, false);
    }
  }

  async #judge(body: unknown, call: Call, withLogprobs: boolean): Promise<ModerationBody> {
    const parse = (models: ModelCatalog) => {
      const request = parseModerationRequest(body, models, this.model);
      const tells = withLogprobs && !this.#withoutLogprobs.has(engineOf(request.model));
      return tells ? request : { ...request, logprobs: undefined };
    };
    const entered = await this.completeChat.enter(call, parse, 'moderations');
    const { request, record } = entered;
    const count = request.prompts.length;
    try {
      const said = await collectSaid(this.completeChat.generate(entered), count);
      const verdicts = said.map(({ text, logprobs }) => guardVerdict(text, logprobs) ?? noVerdict(request.model.id));
      tellOverhead(call, record);
      return { id: `modr-${randomHex(12)}`, model: record.answeredBy.id, results: verdicts.map(resultOf) };
    } catch (error) {
      if (request.logprobs !== undefined && isAboutLogprobs(error)) throw new NoLogprobs(request.model);
      throw inWordsOf(error);
    }
  }
}

class NoLogprobs extends Error {
  constructor(readonly model: Engine) {
    super('The server behind the model tells no log-probabilities.');
  }
}

type Engine = Pick<ModelDescription, 'id' | 'engine'>;

/** Of the same name there may be another one some day, which tells them. */
function engineOf({ id, engine }: Engine): string {
  return `${id} ${engine}`;
}

function isAboutLogprobs(error: unknown): boolean {
  return error instanceof InferenceError && /^(top_)?logprobs$/.test(error.details.param ?? '');
}

interface Said {
  text: string;
  readonly logprobs: TokenLogprob[];
}

async function collectSaid(events: AsyncIterable<SequenceEvent>, count: number): Promise<readonly Said[]> {
  const said = Array.from({ length: count }, (): Said => ({ text: '', logprobs: [] }));
  for await (const event of events) {
    if (event.kind !== 'tokens') continue;
    const one = said[event.index]!;
    one.text += event.text;
    one.logprobs.push(...(event.logprobs ?? []));
  }
  return said;
}

function resultOf({ flagged, named, categories, score }: GuardVerdict): Result {
  return {
    flagged,
    categories: ofEach((category) => categories.has(category)),
    // Of what it did not name it says nothing; how near it was to naming something is `guard_score`.
    category_scores: ofEach((category) => (categories.has(category) ? score : 0)),
    category_applied_input_types: ofEach(() => ['text']),
    guard_score: score,
    guard_categories: [...named],
  };
}

function ofEach<Value>(value: (category: ModerationCategory) => Value): Record<ModerationCategory, Value> {
  const entries = MODERATION_CATEGORIES.map((category) => [category, value(category)] as const);
  return Object.fromEntries(entries) as Record<ModerationCategory, Value>;
}

function noVerdict(model: string): never {
  throw new InferenceError(
    'moderation_not_supported',
    `The model ${model} said neither that the text is safe nor that it is unsafe: it is none that judges texts. Name one that does, such as a Llama Guard; docs/how-to/moderation.md lists the kinds.`,
    { param: 'model' },
  );
}

/** A worker knows messages; whoever asked sent an `input`. */
function inWordsOf(error: unknown): unknown {
  if (!(error instanceof InferenceError)) return error;
  const { code, message, details } = error;
  const { param = '' } = details;
  if (!/^(messages|prompt)/.test(param)) return error;
  const said = message.replaceAll(`\`${param}\``, '`input`');
  return new InferenceError(code, said, { ...details, param: 'input', cause: error });
}
