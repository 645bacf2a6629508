import type { Logger } from '@millrace/runtime';
import { sentence, type UpstreamFailure, type UpstreamSubject } from './upstream-failure.js';

/** A server that is down fails every request, and one line a second says as much as a thousand. */
const LINE_EVERY_MS = 1_000;

/** Tells whoever runs it what the server behind a model does wrong; the caller is told elsewhere. */
export class FailureLog {
  /** By code: when it was last told, and how often it happened since. */
  readonly #told = new Map<string, { atMs: number; untold: number }>();

  constructor(
    private readonly subject: UpstreamSubject,
    private readonly logger: Logger,
    private readonly nowMs: () => number = () => performance.now(),
  ) {}

  /** @param nextInMs when it is tried again, if it is. */
  tell(requestId: string, { error }: UpstreamFailure, nextInMs: number | undefined): void {
    const { code, message } = error;
    // What the caller did wrong is the caller's, and in its answer.
    if (code === 'invalid_request' || code === 'context_length_exceeded') return;
    const last = this.#told.get(code);
    if (last !== undefined && this.nowMs() - last.atMs < LINE_EVERY_MS) {
      last.untold++;
      return;
    }
    this.#told.set(code, { atMs: this.nowMs(), untold: 0 });
    const { model, secret } = this.subject;
    const untold = last?.untold || undefined;
    const line = { requestId, model, code, detail: sentence(message, secret), nextInMs, untold };
    this.logger.warn(line, 'The server behind a model failed.');
  }
}
