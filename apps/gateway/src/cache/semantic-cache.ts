import { createHash } from 'node:crypto';
import type { Logger } from '@millrace/runtime';
import { type LookupOutcome, SemanticMetrics } from '../metrics/semantic-metrics.js';
import type { CollectionSpec, NearPoint, VectorCollection, VectorStore } from '../stores/vector-store.js';
import type { Call, ValidAnswerRequest } from '../vocabulary.js';
import { MOMENT_MS, pruneNotes } from './prune-notes.js';
import type { QuestionVector, QuestionVectors } from './question-vectors.js';
import type { SemanticLookup } from './semantic-lookup.js';
import { type SemanticQuestion, semanticQuestion } from './semantic-question.js';

export interface SemanticCacheOptions {
  /** The cosine that counts for a model, by its id. */
  readonly thresholdOf: (model: string) => number;
  /** Of a look, the making of the vector included. */
  readonly timeoutMs: number;
  readonly entriesMax: number;
  /** No longer than answers are kept. */
  readonly ageMsMax: number;
}

/** Looks that are under way; the next is a miss. Each is a vector that a worker makes. */
const LOOKUPS_MAX = 32;
/** Answers whose questions are still to be noted; those of the next are not. */
const NOTES_MAX = 256;
/** Of one note, the making of its vector included. */
const NOTE_TIMEOUT_MS = 10_000;
/** Of taking out what is too old or too much. What was not done then is done the next time. */
const PRUNE_TIMEOUT_MS = 60_000;
/** After a failure: how long nobody is kept waiting for the next. */
const RETRY_MS = 5_000;
/** Vectors that were made for looks, for the notes that follow. */
const REMEMBERED_MAX = 256;
/** How many are looked at that are near enough: the nearest may be about to be forgotten. */
const NEAREST = 8;
/** So often at least what is too old or too much is taken out, as long as anything is noted. */
const PRUNE_INTERVAL_MS = 60_000;
/** And when so many of a hundred that may be were noted. */
const PRUNE_PERCENT = 5;

interface Note {
  readonly question: SemanticQuestion;
  readonly requestId: string;
  readonly key: string;
}

/** What is kept with a vector. */
interface Noted {
  readonly tenant: string;
  readonly about: string;
  readonly wording: string;
  readonly bare: boolean;
  readonly key: string;
  /** Unix milliseconds. */
  readonly at: number;
}

/**
 * Finds answered questions that mean the same. Two things have to agree: what is left of both when harmless wording is taken away must be
 * equal (`same-meaning.ts`; digests of it are what is filtered by, so that the store holds no text), and their vectors must be as near as
 * the threshold says.
 *
 * Ownership: what is noted is this class's alone; the store is lent.
 * Concurrency: looks run beside each other, up to LOOKUPS_MAX; notes are written one after another. Any number of gateways may share the
 * store: each prunes, and what two prune is gone once.
 */
export class SemanticCache implements SemanticLookup {
  readonly #metrics = new SemanticMetrics();
  readonly #closing = new AbortController();
  readonly #remembered = new Map<string, QuestionVector>();
  readonly #notes: Note[] = [];
  #noting: Promise<void> | undefined;
  #lookups = 0;
  #awayUntilMs = Number.NEGATIVE_INFINITY;
  #complaint: string | undefined;
  #notedSincePruning = 0;
  #pruneAtMs = 0;
  #lastNoteAtMs = 0;

  constructor(
    private readonly store: VectorStore,
    private readonly vectors: QuestionVectors,
    private readonly options: SemanticCacheOptions,
    private readonly logger: Logger,
    private readonly nowMs: () => number = Date.now,
  ) {}

  async find(request: ValidAnswerRequest, call: Call, signal: AbortSignal): Promise<string | undefined> {
    signal.throwIfAborted();
    const question = semanticQuestion(request, call.caller.keyId);
    if (question === undefined) return this.#missed('unsuited');
    if (this.#lookups >= LOOKUPS_MAX) return this.#missed('busy');
    if (this.nowMs() < this.#awayUntilMs) return this.#missed('away');
    // Whoever asks first afterwards tries it out, and the others go on without until it is known.
    if (this.#complaint !== undefined) this.#awayUntilMs = this.nowMs() + RETRY_MS;
    this.#lookups++;
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(TOO_LATE), this.options.timeoutMs);
    try {
      const threshold = this.options.thresholdOf(request.model.id);
      const either = AbortSignal.any([signal, late.signal, this.#closing.signal]);
      const found = await this.#find(question, call.requestId, threshold, either);
      this.#metrics.looked(found === undefined ? 'none' : 'found');
      this.#isWell();
      return found;
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      const outcome = late.signal.aborted ? 'late' : 'failed';
      this.#failed(
        outcome === 'late'
          ? `it took longer than semanticCacheTimeoutMs (${this.options.timeoutMs} ms)`
          : sentenceOf(error),
      );
      return this.#missed(outcome);
    } finally {
      clearTimeout(timer);
      this.#lookups--;
    }
  }

  note(request: ValidAnswerRequest, call: Call, key: string): void {
    if (this.#closing.signal.aborted) return;
    const question = semanticQuestion(request, call.caller.keyId);
    if (question === undefined) return;
    if (this.#notes.length >= NOTES_MAX) {
      this.#metrics.noted('dropped');
      return;
    }
    this.#notes.push({ question, requestId: call.requestId, key });
    this.#noting ??= this.#writeNotes().finally(() => {
      this.#noting = undefined;
    });
  }

  async close(): Promise<void> {
    this.#closing.abort(new Error('This process is ending.'));
    this.#notes.length = 0;
    await this.#noting;
    this.#remembered.clear();
  }

  async #find(
    question: SemanticQuestion,
    requestId: string,
    scoreMin: number,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const made = await this.vectors.vectorOf(question.text, requestId, signal);
    if (made === undefined) throw new Error(NO_MODEL);
    this.#remember(question, made);
    const filter = { tenant: question.tenant, about: question.about };
    const near = await this.#collectionOf(made).nearest(
      { vector: made.vector, limit: NEAREST, filter, scoreMin },
      signal,
    );
    return near.map((point) => this.#keyOf(point, question)).find((key) => key !== undefined);
  }

  /** The store was told what to look for, and is not taken at its word: what it gives wrongly would be another's answer. */
  #keyOf({ attributes }: NearPoint, question: SemanticQuestion): string | undefined {
    const { tenant, about, wording, bare, key, at } = attributes as Partial<Record<keyof Noted, unknown>>;
    const isOurs = tenant === question.tenant && about === question.about;
    const isSame = wording === question.wording || bare === true || question.hasNoCapitals;
    const isFresh = typeof at === 'number' && at > this.nowMs() - this.options.ageMsMax;
    return isOurs && isSame && isFresh && typeof key === 'string' ? key : undefined;
  }

  #collectionOf({ model, vector }: QuestionVector): VectorCollection {
    return this.store.collection(collectionSpec(model, vector.length));
  }

  #remember({ text }: SemanticQuestion, made: QuestionVector): void {
    this.#remembered.set(text, made);
    if (this.#remembered.size > REMEMBERED_MAX) this.#remembered.delete(this.#remembered.keys().next().value!);
  }

  async #writeNotes(): Promise<void> {
    for (let note = this.#notes.shift(); note !== undefined; note = this.#notes.shift()) {
      if (this.nowMs() < this.#awayUntilMs) {
        this.#metrics.noted('dropped');
        continue;
      }
      const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(NOTE_TIMEOUT_MS)]);
      try {
        await this.#write(note, signal);
        this.#metrics.noted('noted');
        this.#isWell();
      } catch (error) {
        if (this.#closing.signal.aborted) return;
        this.#metrics.noted('failed');
        this.#failed(sentenceOf(error));
      }
    }
  }

  async #write({ question, requestId, key }: Note, signal: AbortSignal): Promise<void> {
    const made = this.#remembered.get(question.text) ?? (await this.vectors.vectorOf(question.text, requestId, signal));
    if (made === undefined) throw new Error(NO_MODEL);
    const { tenant, about, wording, hasNoCapitals: bare } = question;
    const attributes: Noted = { tenant, about, wording, bare, key, at: this.#moment() };
    const collection = this.#collectionOf(made);
    // One for each wording of it, so that whoever asks it again does not fill the store.
    const id = digest(`${wording} ${bare} ${digest(question.text)}`);
    await collection.upsert([{ id, vector: made.vector, attributes: { ...attributes } }], signal);
    await this.#pruneNowAndThen(collection);
  }

  /** No two of one gateway are the same: what is pruned are the oldest, and not all of a burst. */
  #moment(): number {
    this.#lastNoteAtMs = Math.max(this.nowMs(), this.#lastNoteAtMs + MOMENT_MS);
    return this.#lastNoteAtMs;
  }

  async #pruneNowAndThen(collection: VectorCollection): Promise<void> {
    const { entriesMax, ageMsMax } = this.options;
    this.#notedSincePruning++;
    const many = Math.ceil((entriesMax * PRUNE_PERCENT) / 100);
    if (this.#notedSincePruning < many && this.nowMs() < this.#pruneAtMs) return;
    this.#notedSincePruning = 0;
    this.#pruneAtMs = this.nowMs() + PRUNE_INTERVAL_MS;
    const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(PRUNE_TIMEOUT_MS)]);
    await pruneNotes(collection, { entriesMax, ageMsMax, nowMs: this.nowMs() }, signal);
  }

  #missed(outcome: LookupOutcome): undefined {
    this.#metrics.looked(outcome);
  }

  #failed(why: string): void {
    this.#awayUntilMs = this.nowMs() + RETRY_MS;
    if (this.#complaint === undefined) {
      this.logger.warn(`Questions can not be compared just now (${why}): requests are run instead until they can.`);
    }
    this.#complaint = why;
  }

  #isWell(): void {
    if (this.#complaint === undefined) return;
    this.#complaint = undefined;
    this.#awayUntilMs = Number.NEGATIVE_INFINITY;
    this.logger.info('Questions can be compared again.');
  }
}

const NO_MODEL =
  'no embedding model is there to compare them by; where there are several, semanticCacheModel has to name one of them';
const TOO_LATE = new Error('The look into the semantic cache took too long.');

/** One for each embedding model and size of its vectors: those of another are never compared with them. */
export function collectionSpec(model: string, dimension: number): CollectionSpec {
  return {
    name: `semantic_cache_${digest(`${model} ${dimension}`).slice(0, 16)}`,
    dimension,
    filteredBy: { tenant: 'text', about: 'text', at: 'number' },
  };
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}

function sentenceOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/\.$/, '');
}
