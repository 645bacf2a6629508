import { type EmbeddingInput, type EmbedRequest, InferenceError } from '@millrace/contracts';
import { countIn } from './counts.js';
import { noAnswer, type UpstreamSubject } from './upstream-failure.js';

/** Inputs of one call: an answer of theirs stays small, and servers that take few at a time take these. */
const INPUTS_PER_CALL = 64;

export interface EmbeddingCall {
  readonly model: string;
  readonly input: readonly string[] | readonly (readonly number[])[];
  readonly encoding_format: 'float';
}

interface VectorsPart {
  readonly vectors: readonly Float32Array[];
  /** Undefined where the upstream doesn't say. */
  readonly promptTokens: number | undefined;
}

/** What the upstream is asked, one after another. Texts and tokens go apart: OpenAI has no word for both at once. */
export function* embeddingCalls({ inputs }: EmbedRequest, model: string): Generator<EmbeddingCall> {
  for (let at = 0; at < inputs.length; ) {
    const run = sameKind(inputs.slice(at, at + INPUTS_PER_CALL));
    at += run.length;
    // `float`, although it is longer: some answer base64 with numbers, and some with less than they were asked for.
    yield { model, input: run, encoding_format: 'float' };
  }
}

function sameKind(inputs: readonly EmbeddingInput[]): readonly string[] | readonly (readonly number[])[] {
  const other = inputs.findIndex(({ kind }) => kind !== inputs[0]!.kind);
  const run = other === -1 ? inputs : inputs.slice(0, other);
  return inputs[0]!.kind === 'text'
    ? run.flatMap((input) => (input.kind === 'text' ? [input.text] : []))
    : run.flatMap((input) => (input.kind === 'tokens' ? [input.tokens] : []));
}

/** The vectors of a reply, each of length 1, in the order of the inputs. @throws UpstreamFailure */
export function vectorsIn(reply: unknown, inputs: number, subject: UpstreamSubject): VectorsPart {
  const { data, usage } = (reply ?? {}) as {
    data?: unknown;
    usage?: { prompt_tokens?: unknown; total_tokens?: unknown };
  };
  if (!Array.isArray(data) || data.length !== inputs) {
    const came = Array.isArray(data) ? `${data.length} vectors for ${inputs} inputs` : 'no vectors';
    throw noAnswer(came, subject);
  }
  const byInput = new Map<number, Float32Array>();
  for (const [at, item] of data.entries()) {
    const { index, embedding } = (item ?? {}) as { index?: unknown; embedding?: unknown };
    const vector = unitVector(numbersIn(embedding));
    if (vector === undefined) throw noAnswer('a vector that is none', subject);
    byInput.set(Number(index ?? at), vector);
  }
  const vectors = data.flatMap((_, at) => byInput.get(at) ?? []);
  if (vectors.length !== inputs) throw noAnswer('vectors that are not one for each input', subject);
  return { vectors, promptTokens: countIn(usage?.prompt_tokens) ?? countIn(usage?.total_tokens) };
}

export function joinVectors(parts: readonly VectorsPart[]): VectorsPart {
  const told = parts.every(({ promptTokens }) => promptTokens !== undefined);
  return {
    vectors: parts.flatMap(({ vectors }) => vectors),
    promptTokens: told ? parts.reduce((sum, { promptTokens }) => sum + promptTokens!, 0) : undefined,
  };
}

/** The first `dimensions` numbers of each, made of length 1 again. @throws InferenceError when there are fewer. */
export function shortened(vectors: readonly Float32Array[], dimensions: number | undefined): readonly Float32Array[] {
  if (dimensions === undefined) return vectors;
  return vectors.map((vector) => {
    if (dimensions > vector.length) throw tooManyDimensions(dimensions, vector.length);
    return dimensions === vector.length ? vector : (unitVector(vector.subarray(0, dimensions)) ?? vector);
  });
}

function tooManyDimensions(asked: number, there: number): InferenceError {
  return new InferenceError(
    'invalid_request',
    `dimensions is ${asked.toLocaleString('en-US')}; this model's vectors have ${there.toLocaleString('en-US')}. Ask for as many or fewer.`,
    { param: 'dimensions' },
  );
}

/** Numbers, or the base64 of their 32 bits, whichever the upstream sends. */
function numbersIn(embedding: unknown): Float32Array | undefined {
  if (Array.isArray(embedding)) {
    // `null` is how some write what is no number; it would become 0.
    return embedding.every((value) => typeof value === 'number') ? Float32Array.from(embedding) : undefined;
  }
  if (typeof embedding !== 'string') return undefined;
  const bytes = Buffer.from(embedding, 'base64');
  if (bytes.length % 4 !== 0) return undefined;
  return Float32Array.from({ length: bytes.length / 4 }, (_, index) => bytes.readFloatLE(index * 4));
}

function unitVector(vector: Float32Array | undefined): Float32Array | undefined {
  if (vector === undefined || vector.length === 0) return undefined;
  const length = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
  if (!Number.isFinite(length)) return undefined;
  return length === 0 ? vector : vector.map((value) => value / length);
}
