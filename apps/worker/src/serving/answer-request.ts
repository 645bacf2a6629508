import {
  type AnswerRequest,
  InferenceError,
  type OutputFormat,
  type Prompt,
  type ResumedAnswer,
  type Sampling,
} from '@millrace/contracts';
import type * as protocol from '@millrace/contracts/protocol';
import { checkedSampling } from './check-sampling.js';
import { chatPrompt } from './prompt-message.js';

/** OpenAI has four, and Anthropic names no number. Each costs a step of an automaton for each character that is written. */
const STOPS_MAX = 64;
const STOP_CHARACTERS_MAX = 4_096;
const LOGPROBS_MAX = 20;
/** Of UTF-8. Far beyond any grammar that was seen; llama.cpp's parser is not to be trusted with more. */
const GRAMMAR_BYTES_MAX = 65_536;

/**
 * A gateway's Start as the engine takes it: its own answer first, then one for every sibling. All of them hold the same
 * prompt object, by which the engine knows that it need read the prompt only once.
 *
 * The gateway has validated all this; it is checked again because a NaN or a fifth of a million stop texts from a
 * gateway with a bug would hurt every sequence of the step.
 *
 * @param sequencesMax answers that one prompt may have: what the engine can work on at a time.
 * @throws InferenceError naming the field.
 */
export function toAnswerRequests(
  start: protocol.Start,
  sequencesMax: number,
): readonly [AnswerRequest, ...AnswerRequest[]] {
  const resume = resumeOf(start);
  checkGroup(start, resume, sequencesMax);
  const sampling = checkedSampling(start.sampling);
  const format = formatOf(start.format);
  const first: AnswerRequest = {
    requestId: start.requestId,
    ...(start.traceparent !== '' && { trace: { traceparent: start.traceparent, tracestate: start.tracestate } }),
    model: start.model,
    prompt: promptOf(start),
    sampling: withoutContradiction(sampling, format),
    ...(format !== undefined && { format }),
    logprobs: checkedLogprobs(start),
    echo: checkedEcho(start),
    maxTokens: checkedMaxTokens(start),
    stop: checkedStops(start.stop),
    resume,
    deadlineMs: start.deadlineMs || undefined,
    priority: start.priority,
  };
  return [first, ...start.siblings.map(({ seed }) => ({ ...first, sampling: { ...sampling, seed } }))];
}

function checkGroup(
  { creditTokens, siblings }: protocol.Start,
  resume: ResumedAnswer | undefined,
  sequencesMax: number,
): void {
  if (creditTokens === 0) {
    throw new InferenceError('internal_error', 'The gateway asked for an answer without credit to send any of it.');
  }
  const answers = siblings.length + 1;
  if (answers > sequencesMax) {
    throw refused('n', `is ${answers}; this worker gives at most ${sequencesMax} answers to a request. Ask for fewer.`);
  }
  if (answers > 1 && resume !== undefined) {
    throw new InferenceError('internal_error', 'The gateway asked for further answers to one that goes on.');
  }
}

/** Also without token ids: an engine in front of another server learns none. */
function resumeOf(start: protocol.Start): ResumedAnswer | undefined {
  const { resumeTokenIds, resumeText, resumeReasoning, resumeCalls, resumeCitations } = start;
  const { resumeUnnumberedTokens, resumeLogprobs } = start;
  const counts = [
    resumeTokenIds.length,
    resumeText.length,
    resumeReasoning.length,
    resumeCalls.length,
    resumeCitations,
    resumeUnnumberedTokens,
    resumeLogprobs,
  ];
  if (counts.every((count) => count === 0)) return undefined;
  return {
    tokens: resumeTokenIds,
    text: resumeText,
    reasoning: resumeReasoning,
    calls: resumeCalls.map(({ index, name, arguments: text }) => ({
      index,
      ...(name !== '' && { name }),
      arguments: text,
    })),
    citations: resumeCitations,
    unnumbered: resumeUnnumberedTokens,
    logprobs: resumeLogprobs,
  };
}

function promptOf({ prompt, suffix }: protocol.Start): Prompt {
  if (suffix !== undefined && prompt?.$case !== 'text') {
    throw refused('suffix', 'needs a prompt that is a text. Leave it out, or send one.');
  }
  switch (prompt?.$case) {
    case 'text':
      return { kind: 'text', text: prompt.value, ...(suffix !== undefined && { suffix }) };
    case 'tokens':
      return { kind: 'tokens', tokens: prompt.value.ids };
    case 'chat':
      return chatPrompt(prompt.value);
    default:
      throw new InferenceError('invalid_request', 'The request has no prompt. Send messages, a text or tokens.', {
        param: 'prompt',
      });
  }
}

function formatOf(message: protocol.OutputFormat | undefined): OutputFormat | undefined {
  if (message === undefined) return undefined;
  switch (message.format?.$case) {
    case 'json':
      return { kind: 'json' };
    case 'schemaJson':
      return { kind: 'schema', schema: schemaIn(message.format.value) };
    case 'grammar':
      return { kind: 'grammar', grammar: checkedGrammar(message.format.value) };
    default:
      // Never passed over: the caller counts on what it asked for.
      throw refused(
        'response_format',
        'is of a kind that this worker does not know. Install the same release on both.',
      );
  }
}

function schemaIn(json: string): Readonly<Record<string, unknown>> | boolean {
  const param = 'response_format';
  let schema: unknown;
  try {
    schema = JSON.parse(json);
  } catch (cause) {
    throw new InferenceError('invalid_request', 'The JSON schema is not JSON.', { param, cause });
  }
  if (typeof schema === 'boolean') return schema;
  if (typeof schema === 'object' && schema !== null && !Array.isArray(schema)) {
    return schema as Readonly<Record<string, unknown>>;
  }
  throw new InferenceError('invalid_request', 'The JSON schema must be an object, true or false.', { param });
}

function checkedGrammar(grammar: string): string {
  const bytes = Buffer.byteLength(grammar);
  if (bytes >= 1 && bytes <= GRAMMAR_BYTES_MAX) return grammar;
  throw refused(
    'grammar',
    `has ${bytes.toLocaleString('en-US')} bytes; it must have from 1 to ${GRAMMAR_BYTES_MAX.toLocaleString('en-US')}.`,
  );
}

/** An answer of a format ends where the format says. */
function withoutContradiction(sampling: Sampling, format: OutputFormat | undefined): Sampling {
  if (!sampling.ignoreEos || format === undefined) return sampling;
  throw refused('ignore_eos', 'is true, but an answer of a given format ends where the format ends. Leave one out.');
}

function checkedLogprobs({ logprobs, prompt }: protocol.Start): number | undefined {
  if (logprobs === undefined || logprobs <= LOGPROBS_MAX) return logprobs;
  const param = prompt?.$case === 'chat' ? 'top_logprobs' : 'logprobs';
  throw refused(param, `is ${logprobs}; it must be from 0 to ${LOGPROBS_MAX}.`);
}

function checkedEcho({ echo, prompt }: protocol.Start): boolean | undefined {
  if (!echo) return undefined;
  if (prompt?.$case === 'chat') throw refused('echo', 'is not possible with messages. Leave it out, or send a prompt.');
  return true;
}

function checkedMaxTokens({ maxTokens, echo }: protocol.Start): number | undefined {
  if (maxTokens !== 0 || echo) return maxTokens;
  throw refused('max_tokens', 'is 0; without `echo` it must be at least 1.');
}

function checkedStops(stops: readonly string[]): readonly string[] {
  const longest = Math.max(0, ...stops.slice(0, STOPS_MAX).map((stop) => stop.length));
  if (stops.length <= STOPS_MAX && longest <= STOP_CHARACTERS_MAX) return stops;
  throw new InferenceError(
    'invalid_request',
    `There are ${stops.length} stop texts, the longest of ${longest} characters; ${STOPS_MAX} of ${STOP_CHARACTERS_MAX} are allowed.`,
    { param: 'stop' },
  );
}

function refused(param: string, claim: string): InferenceError {
  return new InferenceError('invalid_request', `${param} ${claim}`, { param });
}
