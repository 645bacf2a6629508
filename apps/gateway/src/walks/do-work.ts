import type { ModelDescription } from '@millrace/contracts';
import type { Admission } from '../admission/admission.js';
import type { Ask, Dispatcher } from '../dispatch/dispatcher.js';
import type { WorkerClient } from '../dispatch/worker-client.js';
import type { OpenRecord } from '../request-log/request-log.js';
import { chooseWorkers } from '../routing/choose-workers.js';
import type { WorkerDirectory } from '../routing/worker-directory.js';
import type { Call } from '../vocabulary.js';
import { type Entrance, placeAsk } from './entrance.js';
import { tellOverhead } from './overhead.js';

/** A request for anything but an answer: what is asked of a worker, and what came of it. */
export interface Work<Request, Result> {
  readonly parse: () => Request;
  readonly ask: (request: Request) => Ask<Result>;
  /** What the model read for a result; left out where only its vocabulary was asked. */
  readonly promptTokensOf?: (result: Result) => number;
}

/** From an untrusted body that is not for an answer to its result: an answer's way, but what comes back comes whole. */
export class DoWork {
  constructor(
    private readonly entrance: Entrance,
    private readonly admission: Admission,
    private readonly directory: WorkerDirectory<WorkerClient>,
    private readonly dispatcher: Dispatcher,
  ) {}

  async run<Request extends { readonly model: ModelDescription }, Result>(
    call: Call,
    record: OpenRecord,
    { parse, ask, promptTokensOf = () => 0 }: Work<Request, Result>,
  ): Promise<{ readonly request: Request; readonly result: Result }> {
    using entered = await this.entrance.enter(call, record, parse, { answers: 0 });
    const { request, deadline } = entered;
    try {
      using _permit = await this.admission.admit(placeAsk(entered), deadline.signal);
      record.admitted();

      const { id } = request.model;
      const workers = chooseWorkers(id, this.directory.workers);
      const result = await this.dispatcher.work(id, workers, call, deadline, record, ask(request));
      record.done(promptTokensOf(result));
      tellOverhead(call, record);
      return { request, result };
    } catch (error) {
      record.fail(error);
      throw error;
    }
  }
}
