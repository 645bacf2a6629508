import { hash } from 'node:crypto';
import type { ModelDescription, OutputFormat, Prompt } from '@millrace/contracts';
import type { ValidRequest } from '../vocabulary.js';

/** Changes whenever the same request would be written otherwise here, so that no old key is taken for a new one. */
const KEY_VERSION = 1;

type Part<T> = (whole: T) => unknown;
/** Shapes no answer. */
const NOTHING = () => undefined;

/**
 * What of a request shapes its answer. Every field has to be here, or this does not compile: one that is forgotten would give a caller
 * the answer to another question.
 */
const REQUEST: { readonly [Field in keyof Required<ValidRequest>]: Part<ValidRequest> } = {
  model: ({ model }) => modelPart(model),
  // Who may answer where the model can't: whoever follows another's run gets the answer of one that it may be answered by. An alias puts
  // them in another order each time, by weight; the one that it puts first is `model`, so that its weights hold for kept answers, too.
  fallbacks: ({ fallbacks }) => fallbacks.map((model) => modelPart(model).text).sort(),
  prompts: ({ prompts }) => prompts.map(promptPart),
  n: ({ n }) => n,
  // Which answers are the best is told by all of them: all are kept.
  bestOf: ({ bestOf }) => bestOf,
  sampling: ({ sampling }) => sampling,
  maxTokens: ({ maxTokens }) => maxTokens,
  stop: ({ stop }) => stop,
  format: ({ format }) => format && formatPart(format),
  logprobs: ({ logprobs }) => logprobs,
  // Not asked for, and asked not to have it.
  echo: ({ echo }) => echo || undefined,
  // The words of a refusal that several share: it names parameters as they were sent.
  schemaParam: ({ schemaParam }) => schemaParam,
  toolPlaces: ({ toolPlaces }) => toolPlaces,
  oldCalls: ({ oldCalls }) => oldCalls,
  // How an answer is sent. What came whole is replayed as a stream, and a stream whole.
  stream: NOTHING,
  includeUsage: NOTHING,
  // Which answers may stand in for it, and what becomes of its own afterwards.
  exact: NOTHING,
  keep: NOTHING,
  // Whoever waits for an answer must not find itself waiting for one that nobody hurries.
  serviceTier: ({ serviceTier }) => (serviceTier === 'flex' ? serviceTier : undefined),
};

/** What of a model shapes its answers: which it is, what it is made of, and what it does where a request says nothing. */
const MODEL: { readonly [Field in keyof Required<ModelDescription>]: Part<ModelDescription> } = {
  id: ({ id }) => id,
  engine: ({ engine }) => engine,
  // The time of the model's file: another file under the same name is another model.
  created: ({ created }) => created,
  samplingDefaults: ({ samplingDefaults }) => samplingDefaults,
  maxTokensDefault: ({ maxTokensDefault }) => maxTokensDefault,
  provider: ({ provider }) => provider,
  // They are in what the request says for itself.
  overrides: NOTHING,
  // Unknown until a model is loaded, and other on another machine. What it cuts ends with `length`, and would end so again.
  contextLength: NOTHING,
  aliases: NOTHING,
  capabilities: NOTHING,
  embeddingLength: NOTHING,
  isDefault: NOTHING,
  state: NOTHING,
  detail: NOTHING,
};

/**
 * The key of a request's answer: a digest, which tells nothing of what was asked.
 *
 * @param tenant whose it is: the id of the key that asks. Undefined: a gateway that asks for no keys, all of whose callers are one.
 */
export function cacheKey(request: ValidRequest, tenant: string | undefined): string {
  const text = canonicalJson([KEY_VERSION, tenant ?? null, partsOf(REQUEST, request)]);
  return hash('sha256', text, 'base64url');
}

/** Descriptions stay the same objects from one report of a worker to the next. */
const modelParts = new WeakMap<ModelDescription, CanonicalText>();

function modelPart(model: ModelDescription): CanonicalText {
  const known = modelParts.get(model);
  if (known !== undefined) return known;
  const part = new CanonicalText(canonicalJson(partsOf(MODEL, model)));
  modelParts.set(model, part);
  return part;
}

function partsOf<T extends object>(table: { readonly [Field in keyof Required<T>]: Part<T> }, whole: T): unknown {
  const parts: Record<string, unknown> = {};
  for (const field in table) parts[field] = (table[field as keyof T] as Part<T>)(whole);
  return parts;
}

/** Everything of it. What a template writes out as it came, and so with its fields in their order, is taken in that order. */
function promptPart(prompt: Prompt): unknown {
  if (prompt.kind !== 'chat') return prompt;
  const { tools, templateVariables, documents, ...rest } = prompt;
  return { ...rest, asItCame: JSON.stringify([tools, templateVariables, documents]) };
}

/** The properties of a schema are written in the order in which it has them. */
function formatPart(format: OutputFormat): unknown {
  return format.kind === 'schema' ? { ...format, schema: JSON.stringify(format.schema) } : format;
}

/** What was written before. */
class CanonicalText {
  constructor(readonly text: string) {}
}

/** JSON in which the same value is always the same text: fields sorted, those that are undefined left out, lists as they are. */
export function canonicalJson(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  if (value instanceof CanonicalText) return value.text;
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join()}]`;
  const fields = value as Record<string, unknown>;
  let text = '';
  for (const name of Object.keys(value).sort()) {
    const field = fields[name];
    if (field !== undefined) text += `${text === '' ? '' : ','}${JSON.stringify(name)}:${canonicalJson(field)}`;
  }
  return `{${text}}`;
}
