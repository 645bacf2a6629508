import type { Admission } from '../admission/admission.js';
import type { Ask, Dispatcher } from '../dispatch/dispatcher.js';
import type { WorkerClient } from '../dispatch/worker-client.js';
import type { RequestLog } from '../request-log/request-log.js';
import { chooseWorkers } from '../routing/choose-workers.js';
import type { WorkerDirectory } from '../routing/worker-directory.js';
import type { Call, Endpoint } from '../vocabulary.js';
import { startDeadline } from './deadline.js';

/** What is asked, and what the record of it will say. */
export interface Work<R, T> {
  readonly endpoint: Endpoint;
  /** Makes the valid request, or throws why it is none. */
  readonly parse: () => R;
  readonly ask: (request: R) => Ask<T>;
  /** The tokens that the model read. Absent: it read none. */
  readonly promptTokens?: (result: T) => number;
}

/** The way of every request that is not for an answer: the same as an answer's, but the result comes whole. */
export class DoWork {
  constructor(
    private readonly admission: Admission,
    private readonly directory: WorkerDirectory<WorkerClient>,
    private readonly dispatcher: Dispatcher,
    private readonly requestLog: RequestLog,
    private readonly limits: { readonly requestTimeoutMs: number },
  ) {}

  async run<R extends { readonly model: { readonly id: string } }, T>(
    { endpoint, parse, ask, promptTokens = () => 0 }: Work<R, T>,
    call: Call,
  ): Promise<{ request: R; result: T }> {
    const record = this.requestLog.open(endpoint, call);
    try {
      const request = parse();
      record.concerns(request);
      using deadline = startDeadline(call, this.limits.requestTimeoutMs);
      using _permit = await this.admission.admit(deadline.signal);
      record.admitted();

      const { id } = request.model;
      const workers = chooseWorkers(id, this.directory.workers);
      const result = await this.dispatcher.work(id, workers, call, deadline, record, ask(request));
      record.done(promptTokens(result));
      return { request, result };
    } catch (error) {
      record.fail(error);
      throw error;
    } finally {
      record.close();
    }
  }
}
