import {
  InferenceError,
  MODERATION_CATEGORIES,
  type ModelDescription,
  type ModerationBody,
  type ModerationCategory,
  type TokenLogprob,
} from '@millrace/contracts';
import { randomHex } from '@millrace/runtime';
import { type TotalUsage, UsageTally } from '../request-log/usage-tally.js';
import type { ModelCatalog } from '../validation/model-catalog.js';
import { parseModerationRequest, type ValidModerationRequest } from '../validation/parse-moderation-request.js';
import type { Call, SequenceEvent } from '../vocabulary.js';
import type { CompleteChat } from './complete-chat.js';
import { type GuardVerdict, guardVerdict } from './guard-verdict.js';
import { tellOverhead } from './overhead.js';

type Result = ModerationBody['results'][number];

export interface Moderated {
  readonly body: ModerationBody;
  /** What judging took, of which OpenAI's body says nothing. */
  readonly usage: TotalUsage;
}

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
  async run(body: unknown, call: Call): Promise<Moderated> {
    try {
      return await this.#judge(body, call, true);
    } catch (error) {
      if (!(error instanceof NoLogprobs)) throw error;
      this.#withoutLogprobs.add(engineOf(error.model));
      return this.#judge(body, call, false);
    }
  }

  async #judge(body: unknown, call: Call, withLogprobs: boolean): Promise<Moderated> {
    const parse = (models: ModelCatalog) => {
      const request = parseModerationRequest(body, models, this.model);
      const tells = withLogprobs && !this.#withoutLogprobs.has(engineOf(request.model));
      return tells ? request : { ...request, logprobs: undefined };
    };
    const entered = await this.completeChat.enter(call, parse, 'moderations');
    const { request, record } = entered;
    const said = new Said(request.prompts.length);
    let verdicts: readonly GuardVerdict[] = [];
    const judge = () => {
      verdicts = said.answers.map(({ text, logprobs }) => guardVerdict(text, logprobs) ?? noVerdict(request));
    };
    try {
      for await (const event of this.completeChat.generate(entered, judge)) said.add(event);
      tellOverhead(call, record);
      const results = verdicts.map(resultOf);
      return { body: { id: `modr-${randomHex(12)}`, model: record.answeredBy.id, results }, usage: said.usage() };
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

/** What the model says of each text, while it comes. */
class Said {
  readonly answers: readonly { text: string; readonly logprobs: TokenLogprob[] }[];
  readonly #tally: UsageTally;

  constructor(texts: number) {
    this.answers = Array.from({ length: texts }, () => ({ text: '', logprobs: [] }));
    this.#tally = new UsageTally({ prompts: this.answers, bestOf: 1 });
  }

  add(event: SequenceEvent): void {
    this.#tally.add(event);
    if (event.kind !== 'tokens') return;
    const answer = this.answers[event.index]!;
    answer.text += event.text;
    answer.logprobs.push(...(event.logprobs ?? []));
  }

  usage(): TotalUsage {
    return this.#tally.total();
  }
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

/** Whoever named the model can name another; where it is the configured one, its caller has done nothing wrong. */
function noVerdict({ model: { id }, isConfigured }: ValidModerationRequest): never {
  const what = `The model ${id} said neither that the text is safe nor that it is unsafe`;
  if (isConfigured)
    throw new InferenceError(
      'no_verdict',
      `${what}: the text was not judged. If that happens often, \`moderationModel\` names none that judges texts here; docs/how-to/moderation.md lists the kinds.`,
    );
  throw new InferenceError(
    'moderation_not_supported',
    `${what}: it is none that judges texts. Name one that does, such as a Llama Guard; docs/how-to/moderation.md lists the kinds.`,
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
