import type { Admission } from '../admission/admission.js';
import type { Candidate } from '../dispatch/dispatcher.js';
import type { WorkerClient } from '../dispatch/worker-client.js';
import { chooseWorkers } from '../routing/choose-workers.js';
import type { WorkerDirectory } from '../routing/worker-directory.js';
import { type Asked, type Entered, placeAsk } from './entrance.js';

/** A place for a request, and the workers to ask while it has it. */
export class FindWorkers {
  constructor(
    private readonly admission: Admission,
    private readonly directory: WorkerDirectory<WorkerClient>,
  ) {}

  /**
   * The ready workers, the least loaded first. If all of them went away while they were asked, and the request may wait for workers, it
   * goes back to the waiting room as a newcomer, and on with those that are ready then.
   *
   * Ownership: the place is held from the first worker on until this generator is returned or ends; `for await` sees to that.
   *
   * @throws InferenceError as `Admission.admit`.
   */
  async *find(entered: Entered<Asked>): AsyncGenerator<Candidate> {
    const { request, record, deadline } = entered;
    const { model } = request;
    const { id } = model;
    let ask = placeAsk(entered);
    do {
      using _permit = await this.admission.admit(ask, deadline.signal);
      record.admitted();
      for (const worker of chooseWorkers(id, this.directory.workers)) {
        yield { worker, model, answered: () => {}, failed: () => {} };
      }
      ask = { ...ask, coldSinceMs: undefined }; // There was one in between.
    } while (!this.directory.serves(id) && this.admission.waitsForWorkers);
  }
}
