import type { ResponseBody, ResponseEvent } from '@millrace/contracts';
import type { NewRun } from '../responses/response-runs.js';
import { type Call, LOW_PRIORITY } from '../vocabulary.js';
import type { FollowResponse } from './follow-response.js';
import type { Respond } from './respond.js';
import { newResponseIds } from './response-body.js';
import { inWords } from './stored-call.js';

export type QueuedResponse =
  | { readonly kind: 'whole'; readonly body: ResponseBody }
  | { readonly kind: 'stream'; readonly chunks: AsyncIterable<readonly ResponseEvent[]> };

/** Whoever answers in the background. */
interface Background {
  queue(owner: string | undefined, run: NewRun): Promise<void>;
}

export interface QueueLimits {
  readonly backgroundResponseTimeoutMs: number;
}

/** POST /v1/responses with \`background\`: true. What becomes of it is run-background-responses.ts. */
export class QueueResponse {
  constructor(
    private readonly respond: Pick<Respond, 'accept'>,
    private readonly background: Background,
    private readonly follow: FollowResponse,
    private readonly limits: QueueLimits,
  ) {}

  /** What is wrong with it is told now, as of one that is answered now. */
  async run(body: object, call: Call): Promise<QueuedResponse> {
    const owner = call.caller.keyId;
    const { response, input } = await this.respond.accept(body, call, newResponseIds());
    const stream = 'stream' in body && body.stream === true;
    const { cacheAsk, dispatchAsk } = call;
    const opening = stream ? openingOf(response) : undefined;
    try {
      await this.background.queue(owner, {
        response,
        input,
        request: { body, cacheAsk, dispatchAsk },
        priority: response.service_tier === 'flex' ? LOW_PRIORITY : call.caller.priority,
        events: opening,
        timeoutMs: this.limits.backgroundResponseTimeoutMs,
      });
    } catch (error) {
      throw inWords(error);
    }
    if (opening === undefined) return { kind: 'whole', body: response };
    // As anybody reads it: this is not who answers it, and need not be where it is answered. But for its opening: whatever fails from here
    // on, its client knows its id.
    const after = opening.at(-1)!.sequence_number;
    return { kind: 'stream', chunks: this.follow.run(response.id, owner, after, call.clientLeft, opening) };
  }
}

/** In its name only: whether it is valid is looked at later. */
export function asksForBackground(body: unknown): body is object {
  return typeof body === 'object' && body !== null && 'background' in body && body.background === true;
}

function openingOf(response: ResponseBody): ResponseEvent[] {
  return [
    { type: 'response.created', sequence_number: 0, response },
    { type: 'response.queued', sequence_number: 1, response },
  ];
}
