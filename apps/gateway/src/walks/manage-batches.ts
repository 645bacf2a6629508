import { type BatchBody, type BatchListBody, InferenceError, windowSeconds } from '@millrace/contracts';
import type { BatchFiles } from '../batch-jobs/batch-files.js';
import { type BatchRow, batchBody } from '../batch-jobs/batch-row.js';
import type { BatchStore } from '../batch-jobs/batch-store.js';
import { parseCreateBatch, parseListBatches } from '../validation/parse-batch-requests.js';
import type { Call } from '../vocabulary.js';
import { listBody } from './list-body.js';
import type { StoredCalls } from './stored-call.js';

/** How soon to come back for a place that somebody's batch has. */
const RETRY_SECONDS = 60;

/** What is told of a batch that was made or is to end, so that it need not wait to be found. */
interface Runner {
  advance(batchId: string): Promise<void>;
}

/** /v1/batches: made, looked at, listed and cancelled. What becomes of them is run-batch-jobs.ts. */
export class ManageBatches {
  constructor(
    private readonly calls: StoredCalls,
    private readonly store: BatchStore,
    private readonly files: Pick<BatchFiles, 'find'>,
    private readonly runner: Runner,
    private readonly limits: { readonly batchesPerKeyMax: number },
  ) {}

  create(body: unknown, call: Call): Promise<BatchBody> {
    return this.calls.run('batches', call, async () => {
      const request = parseCreateBatch(body);
      const keyId = ownerOf(call);
      await this.#checkInput(request.input_file_id, keyId);
      const { batchesPerKeyMax } = this.limits;
      const batch = await this.store.create(
        {
          keyId,
          endpoint: request.endpoint,
          inputFileId: request.input_file_id,
          completionWindow: request.completion_window,
          windowSeconds: windowSeconds(request.completion_window),
          metadata: (request.metadata as Record<string, string> | null | undefined) ?? null,
          outputExpiresAfter: request.output_expires_after?.seconds ?? null,
        },
        batchesPerKeyMax,
      );
      if (batch === undefined) throw tooMany(batchesPerKeyMax);
      this.#advance(batch.id);
      return batchBody(batch);
    });
  }

  find(id: string, call: Call): Promise<BatchBody> {
    return this.calls.run('batches', call, async () => batchBody(await this.#find(id, call)));
  }

  list(query: unknown, call: Call): Promise<BatchListBody> {
    return this.calls.run('batches', call, async () => {
      const { after, limit } = parseListBatches(query);
      // One more than wanted tells whether there are more.
      const rows = (await this.store.list(ownerOf(call), after, limit + 1)) ?? notFound(after!, 'after');
      return listBody(rows.slice(0, limit).map(batchBody), rows.length > limit);
    });
  }

  cancel(id: string, call: Call): Promise<BatchBody> {
    return this.calls.run('batches', call, async () => {
      await this.#find(id, call);
      const batch = (await this.store.end(id, 'cancelled')) ?? notFound(id);
      if (batch.status !== 'cancelling' && batch.status !== 'cancelled') throw isOver(batch);
      this.#advance(id);
      return batchBody(batch);
    });
  }

  async #find(id: string, call: Call): Promise<BatchRow> {
    return (await this.store.find(id, ownerOf(call))) ?? notFound(id);
  }

  async #checkInput(fileId: string, keyId: string | null): Promise<void> {
    const file = await this.files.find(fileId, keyId);
    if (file === undefined)
      throw wrongInput(`There is no file ${JSON.stringify(fileId)} of this key. Upload it first.`);
    if (file.purpose === 'batch') return;
    throw wrongInput(
      `The file ${fileId} has the purpose "${file.purpose}", and the input of a batch needs "batch". Upload it again with that.`,
    );
  }

  /** Nobody waits for it: where it fails now, it is found later. */
  #advance(id: string): void {
    this.runner.advance(id).catch(() => undefined);
  }
}

function ownerOf({ caller: { keyId } }: Call): string | null {
  return keyId ?? null;
}

function wrongInput(sentence: string): InferenceError {
  return new InferenceError('invalid_request', sentence, { param: 'input_file_id' });
}

function notFound(id: string, param?: string): never {
  throw new InferenceError(
    'batch_not_found',
    `There is no batch ${JSON.stringify(id.slice(0, 60))} of this key. \`GET /v1/batches\` lists those that there are.`,
    { param },
  );
}

function isOver({ id, status }: BatchRow): InferenceError {
  return new InferenceError('batch_over', `The batch ${id} is ${status}, and can not be cancelled any more.`);
}

function tooMany(batchesMax: number): InferenceError {
  return new InferenceError(
    'rate_limit_exceeded',
    `${batchesMax} batches of this key are under way, which is as many as may be. Make this one when one of them is over, or raise batchesPerKeyMax.`,
    { limit: 'batches', retryAfterSeconds: RETRY_SECONDS },
  );
}
