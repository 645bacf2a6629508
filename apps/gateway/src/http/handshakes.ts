import { type Server, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { InferenceError, toOpenAiResponse } from '@millrace/contracts';
import { counter, type Logger } from '@millrace/runtime';
import { MEASURED } from '../metrics/declarations.js';

/** Whoever scans the Internet does it all day; the metric counts, the log only tells that there are any, and why the last one failed. */
const BETWEEN_LINES_MS_MIN = 10_000;

type Reason = 'plain_http' | 'timeout' | 'other';

const PLAIN_HTTP = 'ERR_SSL_HTTP_REQUEST';
const TIMEOUT = 'ERR_TLS_HANDSHAKE_TIMEOUT';

/** TLS that fails before a request could come: what is no TLS at all, clients that do not trust the certificate, and those who stand still. */
export class Handshakes {
  readonly #done = new WeakSet<Socket>();
  readonly #failed = counter(MEASURED.failedHandshakes);
  #lastLineMs = Number.NEGATIVE_INFINITY;
  #unsaid = 0;

  constructor(
    server: Server,
    private readonly logger: Logger,
  ) {
    server.on('secureConnection', (socket: Socket) => this.#done.add(socket));
  }

  /** Whether it was a handshake that failed; then it is dealt with. */
  failed({ code, message }: NodeJS.ErrnoException, socket: Socket): boolean {
    if (this.#done.has(socket)) return false;
    const reason: Reason = code === PLAIN_HTTP ? 'plain_http' : code === TIMEOUT ? 'timeout' : 'other';
    this.#failed.add(1, { reason });
    this.#tell(reason, message);
    if (reason === 'plain_http') sayInPlain(socket);
    socket.destroy();
    return true;
  }

  #tell(reason: Reason, message: string): void {
    this.#unsaid++;
    const nowMs = performance.now();
    if (nowMs - this.#lastLineMs < BETWEEN_LINES_MS_MIN) return;
    const detail = message.replace(/^.*?:SSL routines:([^:]*:[^:]*):.*$/s, '$1').slice(0, 200);
    this.logger.info({ reason, detail, handshakes: this.#unsaid }, 'TLS handshakes failed');
    this.#lastLineMs = nowMs;
    this.#unsaid = 0;
  }
}

/**
 * A person who wrote `http://` should read why nothing comes. It has to go out beneath TLS, and Node keeps the socket there where it can
 * be reached, if under a name of its own; should it ever have another, the connection is closed without a word.
 */
function sayInPlain(socket: Socket & { readonly _parent?: Socket | null }): void {
  const sentence = 'This port speaks HTTPS, and the request came by HTTP. Write https:// in place of http://.';
  const body = JSON.stringify(toOpenAiResponse(new InferenceError('invalid_request', sentence)).body);
  const head = `HTTP/1.1 400 ${STATUS_CODES[400]}\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n`;
  socket._parent?.write(head + body);
}
