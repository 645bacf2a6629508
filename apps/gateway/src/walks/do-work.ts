import type { ModelDescription } from '@millrace/contracts';
import type { Ask, Dispatcher } from '../dispatch/dispatcher.js';
import type { OpenRecord } from '../request-log/request-log.js';
import type { Call } from '../vocabulary.js';
import type { Entrance } from './entrance.js';
import type { FindWorkers } from './find-workers.js';
import { tellOverhead } from './overhead.js';

/** A request for anything but an answer: what is asked of a worker, and what came of it. */
export interface Work<Request, Result> {
  readonly parse: () => Request | Promise<Request>;
  readonly ask: (request: Request) => Ask<Result>;
  /** What the model read for a result; left out where only its vocabulary was asked. */
  readonly promptTokensOf?: (result: Result) => number;
  /** What is to be done with the result before the request is over. */
  readonly finish?: (result: Result, signal: AbortSignal) => Promise<void>;
}

/** From an untrusted body that is not for an answer to its result: an answer's way, but what comes back comes whole. */
export class DoWork {
  constructor(
    private readonly entrance: Entrance,
    private readonly workers: FindWorkers,
    private readonly dispatcher: Dispatcher,
  ) {}

  async run<Request extends { readonly model: ModelDescription }, Result>(
    call: Call,
    record: OpenRecord,
    { parse, ask, promptTokensOf = () => 0, finish }: Work<Request, Result>,
  ): Promise<{ readonly request: Request; readonly result: Result }> {
    using entered = await this.entrance.enter(call, record, parse, { answers: 0 });
    const { request, deadline } = entered;
    try {
      const candidates = this.workers.find(entered);
      const result = await this.dispatcher.work(candidates, call, deadline, record, ask(request));
      await finish?.(result, deadline.signal);
      record.done(promptTokensOf(result));
      tellOverhead(call, record);
      return { request, result };
    } catch (error) {
      record.fail(error);
      throw error;
    }
  }
}
