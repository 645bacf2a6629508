import { type AnswerEvent, type Citation, type Prompt, type ResumedAnswer, TOOL_CALLS_MAX } from '@millrace/contracts';
import { malformed } from './malformed.js';

/** Tokens as one update brings them, with the content that they let out. */
export type TokensPiece = Omit<Extract<AnswerEvent, { kind: 'tokens' }>, 'kind'>;

/** More than the longest context fills: UTF-16 units of text, and eight for each token. */
const UNITS_MAX = 64 * 1024 * 1024;
const UNITS_PER_TOKEN = 8;
/** Of one answer. Each becomes an annotation. */
const CITED_SOURCES_MAX = 10_000;

/** What of a prompt can be cited. */
interface Citeable {
  readonly documents: number;
  readonly callIds: ReadonlySet<string>;
}

/**
 * Holds one answer's content against what `AnswerEvent` promises, so that nobody behind this needs to be ready for calls that
 * come out of order, for passages that are not there, or for an answer without end.
 */
export class ContentCheck {
  #units = 0;
  #calls = 0;
  #codePoints = 0;
  /** Whose passages are not there yet, and the first end of one. */
  #awaited: readonly Citation[] = [];
  #awaitedEnd = Number.POSITIVE_INFINITY;
  #sources = 0;
  #citeable: Citeable | undefined;

  /** @param resume what was delivered of the answer before: what comes now goes on with it. */
  constructor(
    private readonly prompt: Prompt,
    resume?: ResumedAnswer,
  ) {
    if (resume === undefined) return;
    const { text, reasoning = '', calls = [], citations = 0, tokens, unnumbered = 0 } = resume;
    this.#units = UNITS_PER_TOKEN * (tokens.length + unnumbered) + text.length + reasoning.length;
    for (const { name = '', arguments: more } of calls) this.#units += name.length + more.length;
    this.#calls = calls.filter(({ name }) => name !== undefined).length;
    this.#codePoints = codePoints(text);
    this.#sources = citations;
  }

  /**
   * The piece, without sources that do not exist: a model may well cite a document that it was never given. Citations come
   * with the end of their passage, and never where the text ends before: servers count in units of their own, and an
   * answer is worth more than its footnotes.
   *
   * @throws InferenceError `internal_error` for one that no worker should send.
   */
  admit(piece: TokensPiece): TokensPiece {
    this.#count(piece);
    this.#checkCalls(piece);
    if (piece.citations?.length) this.#await([...this.#awaited, ...this.#known(piece.citations)]);
    else if (this.#awaitedEnd > this.#codePoints) return piece;
    const ready = this.#awaited.filter(({ end }) => end <= this.#codePoints);
    this.#await(this.#awaited.filter(({ end }) => end > this.#codePoints));
    return { ...piece, citations: ready };
  }

  /** A piece of the prompt. @throws InferenceError as above. */
  admitEcho(text: string, tokens: number): void {
    this.#use(UNITS_PER_TOKEN * tokens + text.length);
  }

  #await(citations: readonly Citation[]): void {
    this.#awaited = citations;
    this.#awaitedEnd = citations.reduce((first, { end }) => Math.min(first, end), Number.POSITIVE_INFINITY);
  }

  #count({ tokens, unnumbered = 0, text, reasoning = '', calls = [], logprobs = [] }: TokensPiece): void {
    this.#use(UNITS_PER_TOKEN * (tokens.length + unnumbered) + text.length + reasoning.length);
    for (const { name = '', arguments: more } of calls) this.#use(name.length + more.length);
    for (const { top } of logprobs) this.#use(UNITS_PER_TOKEN * top.length);
    this.#codePoints += codePoints(text);
  }

  /** One more each time, or there could be pieces of nothing without end. */
  #use(units: number): void {
    this.#units += 1 + units;
    if (this.#units > UNITS_MAX) throw malformed(`an answer of more than ${UNITS_MAX} characters`);
  }

  #checkCalls({ calls = [] }: TokensPiece): void {
    for (const { index, name } of calls) {
      // Calls begin one after another. An engine in front of another server may come back to one that it thought was over.
      if (name === undefined ? index >= this.#calls : index !== this.#calls) {
        const what = name === undefined ? 'a piece of arguments' : 'a name';
        throw malformed(`${what} for call ${index} after ${this.#calls} calls`);
      }
      if (name !== undefined) this.#calls++;
    }
    // A client could not send more of them back.
    if (this.#calls > TOOL_CALLS_MAX) throw malformed(`more than ${TOOL_CALLS_MAX} calls`);
  }

  #known(citations: readonly Citation[]): readonly Citation[] {
    this.#citeable ??= citeableOf(this.prompt);
    const citeable = this.#citeable;
    return citations.map(({ start, end, sources }) => {
      if (start > end) throw malformed(`a citation from ${start} to ${end}`);
      this.#sources += 1 + sources.length;
      if (this.#sources > CITED_SOURCES_MAX) throw malformed(`more than ${CITED_SOURCES_MAX} citations`);
      return { start, end, sources: sources.filter((source) => isCiteable(source, citeable)) };
    });
  }
}

function codePoints(text: string): number {
  let points = 0;
  for (const _point of text) points++;
  return points;
}

function isCiteable(source: Citation['sources'][number], { documents, callIds }: Citeable): boolean {
  return source.kind === 'document' ? source.document < documents : callIds.has(source.callId);
}

function citeableOf(prompt: Prompt): Citeable {
  if (prompt.kind !== 'chat') return { documents: 0, callIds: new Set() };
  const answered = prompt.messages.map(({ tool_call_id: id }) => id).filter((id) => typeof id === 'string');
  return { documents: prompt.documents?.length ?? 0, callIds: new Set(answered) };
}
