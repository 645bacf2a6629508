import { BACKGROUND_PRIORITY_MAX, CACHE_HEADER } from '@millrace/contracts';
import type { AnswerCache, CachedQuestion } from '../cache/answer-cache.js';
import type { KeptAnswer } from '../cache/kept-answer.js';
import { replay } from '../cache/replay.js';
import type { RunReader, RunSource } from '../cache/shared-run.js';
import type { LedRun, SharedRuns } from '../cache/shared-runs.js';
import type { Call, Deadline, SequenceEvent, ValidAnswerRequest } from '../vocabulary.js';
import type { Entered } from './entrance.js';

type Asking = Entered<ValidAnswerRequest>;
type Events = AsyncIterable<SequenceEvent>;
/** A place, a worker, an answer: from here on for whoever asks the same. */
type Run = (entered: Asking) => Events;

/** Answers what was answered before, or is just being answered to another; and what is not, once for all. */
export class CachedAnswers {
  constructor(
    private readonly cache: AnswerCache,
    private readonly runs: SharedRuns,
  ) {}

  /** `x-millrace-cache` is told wherever the cache is a concern: `miss` at first, since a stream's headers do not wait for a run. */
  answer(entered: Asking, run: Run): Events {
    const question = this.cache.questionOf(entered.request, entered.call);
    if (question === undefined) return run(entered);
    entered.record.reaches('cache');
    const led = this.#ledBy(entered, question, run);
    tell(entered.call, 'miss');
    if (!question.use.lookUp) return this.runs.answerAlone(this.#readerOf(entered, 'refresh'), led);
    return this.#lookUp(entered, question, led);
  }

  async *#lookUp(entered: Asking, question: CachedQuestion, led: LedRun): AsyncGenerator<SequenceEvent> {
    const reader = this.#readerOf(entered, 'miss');
    const runKey = runKeyOf(entered, question);
    if (!this.runs.canJoin(runKey, reader)) {
      const kept = await this.cache.find(question);
      if (kept !== undefined) return yield* this.#replay(entered, kept);
    }
    // In the same turn as it was looked for: a run that could be joined then may be over a moment later.
    yield* this.runs.answer(runKey, reader, led);
  }

  #replay({ request, call, record, deadline }: Asking, kept: KeptAnswer): AsyncGenerator<SequenceEvent> {
    this.cache.metrics.answered('hit');
    tell(call, 'hit');
    record.foundInCache(modelOf(request, kept));
    return replay(kept, deadline.signal);
  }

  #ledBy(entered: Asking, question: CachedQuestion, run: Run): LedRun {
    const open = async (deadline: Deadline): Promise<RunSource> => {
      const alike = await this.cache.findAlike(question, deadline.signal);
      if (alike === undefined) {
        const { record } = entered;
        return { kind: 'computed', events: run({ ...entered, deadline }), answeredBy: () => record.answeredBy };
      }
      const answeredBy = modelOf(entered.request, alike);
      return { kind: 'kept', events: replay(alike, deadline.signal), answeredBy: () => answeredBy };
    };
    return {
      priority: entered.call.caller.priority,
      open,
      onWhole: (source, events) => this.#keep(question, source, events),
      onOutgrown: ({ kind }, reason) => kind === 'computed' && this.cache.metrics.notKept(reason),
    };
  }

  /** What was found for a question that means the same stays what it is: kept again, it would answer what means the same as this one. */
  async #keep(question: CachedQuestion, source: RunSource, events: readonly SequenceEvent[]): Promise<void> {
    if (source.kind === 'computed') await this.cache.keep(question, source.answeredBy(), events);
  }

  #readerOf({ call, record, deadline }: Asking, led: 'miss' | 'refresh'): RunReader {
    return {
      deadline,
      joins: () => record.admitted(),
      begins: ({ kind, answeredBy }, leads) => {
        const outcome = kind === 'kept' ? 'semantic_hit' : leads ? led : 'shared';
        this.cache.metrics.answered(outcome);
        if (outcome === led) return;
        tell(call, 'hit');
        if (outcome === 'shared') record.sharesAnswer(answeredBy());
        else record.foundInCache(answeredBy());
      },
      settled: (pays) => record.paysForAnswer(pays),
    };
  }
}

/**
 * Not to be led by a run that looked for something alike, unless this one may be answered so, too. Nor by one that nobody waits for: it rests
 * while others run, for longer than whoever waits has time.
 */
function runKeyOf({ call }: Asking, { key, use }: CachedQuestion): string {
  const background = call.caller.priority <= BACKGROUND_PRIORITY_MAX;
  return `${key}${use.semantic ? ' alike' : ''}${background ? ' background' : ''}`;
}

function tell(call: Call, outcome: 'hit' | 'miss'): void {
  call.tell({ [CACHE_HEADER]: outcome });
}

/** As it was then: by now it may have another engine. */
function modelOf({ model }: ValidAnswerRequest, { model: id, engine }: KeptAnswer) {
  return { ...model, id, engine };
}
