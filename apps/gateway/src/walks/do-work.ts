import type { Admission } from '../admission/admission.js';
import type { Ask, Dispatcher } from '../dispatch/dispatcher.js';
import type { WorkerClient } from '../dispatch/worker-client.js';
import type { OpenRecord } from '../request-log/request-log.js';
import { chooseWorkers } from '../routing/choose-workers.js';
import type { WorkerDirectory } from '../routing/worker-directory.js';
import type { Call } from '../vocabulary.js';
import { startDeadline } from './deadline.js';

/** From a valid request that is not for an answer to its result: an answer's way, but what comes back comes whole. */
export class DoWork {
  constructor(
    private readonly admission: Admission,
    private readonly directory: WorkerDirectory<WorkerClient>,
    private readonly dispatcher: Dispatcher,
    private readonly limits: { readonly requestTimeoutMs: number },
  ) {}

  /** @param promptTokensOf what the model read for a result; left out where only its vocabulary was asked. */
  async run<T>(
    request: { readonly model: { readonly id: string } },
    call: Call,
    record: OpenRecord,
    ask: Ask<T>,
    promptTokensOf: (result: T) => number = () => 0,
  ): Promise<T> {
    try {
      record.concerns(request);
      using deadline = startDeadline(call, this.limits.requestTimeoutMs);
      using _permit = await this.admission.admit(deadline.signal);
      record.admitted();

      const { id } = request.model;
      const workers = chooseWorkers(id, this.directory.workers);
      const result = await this.dispatcher.work(id, workers, call, deadline, record, ask);
      record.done(promptTokensOf(result));
      return result;
    } catch (error) {
      record.fail(error);
      throw error;
    } finally {
      record.close();
    }
  }
}
