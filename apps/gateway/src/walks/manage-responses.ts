import { InferenceError, type ItemListBody, type ResponseBody, type ResponseEvent } from '@millrace/contracts';
import type { ResponseRuns } from '../responses/response-runs.js';
import type { SqlResponseStore } from '../responses/sql-response-store.js';
import { parseListItems, parseRetrieveResponse } from '../validation/parse-response-state-requests.js';
import type { Call } from '../vocabulary.js';
import type { FollowResponse } from './follow-response.js';
import { listBody } from './list-body.js';
import type { StoredCalls } from './stored-call.js';
import type { ToldItems } from './told-items.js';

export type FoundResponse =
  | { readonly kind: 'whole'; readonly body: ResponseBody }
  | { readonly kind: 'stream'; readonly chunks: AsyncIterable<readonly ResponseEvent[]> };

/** Whoever answers in the background. */
interface Background {
  /** This one was ended: whoever is at it here need not be. */
  ended(id: string): void;
}

/** /v1/responses/{id}: what is kept of a response. How it is made is respond.ts. */
export class ManageResponses {
  constructor(
    private readonly calls: StoredCalls,
    private readonly responses: Pick<SqlResponseStore, 'find' | 'remove' | 'inputItems'>,
    private readonly runs: Pick<ResponseRuns, 'cancel' | 'isStreamed'>,
    private readonly follow: FollowResponse,
    private readonly background: Background,
    private readonly told: ToldItems,
  ) {}

  find(id: string, query: unknown, call: Call): Promise<FoundResponse> {
    return this.#run(call, async (owner) => {
      const { stream, startingAfter, include } = parseRetrieveResponse(query);
      const response = (await this.responses.find(owner, id)) ?? noResponse(id);
      if (!stream) return { kind: 'whole', body: this.told.response(response, include) };
      if (!response.background || !(await this.runs.isStreamed(id))) throw noEvents(response);
      return { kind: 'stream', chunks: this.follow.run(id, owner, startingAfter ?? -1, call.clientLeft) };
    });
  }

  remove(id: string, call: Call) {
    return this.#run(call, async (owner) => {
      if (!(await this.responses.remove(owner, id))) noResponse(id);
      this.background.ended(id);
      return { id, object: 'response', deleted: true } as const;
    });
  }

  cancel(id: string, call: Call): Promise<ResponseBody> {
    return this.#run(call, async (owner) => {
      const response = (await this.runs.cancel(owner, id)) ?? noResponse(id);
      if (!response.background) throw notInBackground(id);
      this.background.ended(id);
      return this.told.response(response);
    });
  }

  inputItems(id: string, query: unknown, call: Call): Promise<ItemListBody> {
    return this.#run(call, async (owner) => {
      const asked = parseListItems(query);
      if ((await this.responses.find(owner, id)) === undefined) noResponse(id);
      const { items, hasMore } = await this.responses.inputItems(id, asked);
      return listBody(this.told.list(items, asked.include), hasMore);
    });
  }

  #run<T>(call: Call, work: (owner: string | undefined) => Promise<T>): Promise<T> {
    return this.calls.run('responses', call, () => work(call.caller.keyId));
  }
}

function noResponse(id: string): never {
  throw new InferenceError(
    'response_not_found',
    `Response with id ${JSON.stringify(id.slice(0, 60))} not found: there is none of this key, or it was deleted, has expired, or was made with \`store: false\`. One that is not answered in the background is there once it has ended.`,
  );
}

function noEvents({ id, background }: ResponseBody): InferenceError {
  const why = background
    ? 'was made without `stream`: true, or ended too long ago'
    : 'was not made with `background`: true';
  return new InferenceError(
    'invalid_request',
    `The response ${id} ${why}, so no events of it are kept. Ask for it whole, without \`stream\`.`,
    { param: 'stream' },
  );
}

function notInBackground(id: string): InferenceError {
  return new InferenceError(
    'invalid_request',
    `The response ${id} can not be cancelled: it was not made with \`background\`: true. Close its connection instead.`,
  );
}
