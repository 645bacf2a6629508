import { type ClientRequest, Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { urlToHttpOptions } from 'node:url';
import { InferenceError, type TraceContext } from '@millrace/contracts';
import { UpstreamFailure, type UpstreamSubject } from './upstream-failure.js';

export interface UpstreamClientOptions {
  /** OpenAI's paths are put behind it. */
  readonly baseUrl: URL;
  readonly subject: UpstreamSubject;
  readonly socketsMax: number;
  /** `HTTPS_PROXY` and `NO_PROXY`, and nothing else of the environment. */
  readonly proxy: NodeJS.ProcessEnv;
  readonly connectTimeoutMs: number;
  /** How long the upstream may send nothing while it is waited for. */
  readonly silenceMsMax: number;
}

export interface UpstreamCall {
  readonly method: 'GET' | 'POST';
  readonly url: URL;
  /** JSON. */
  readonly body?: string | undefined;
  /** Told to the server, so that what it traces belongs to the same trace. */
  readonly trace?: TraceContext | undefined;
  /** In place of the client's own. */
  readonly silenceMsMax?: number | undefined;
}

/** Idle connections are closed before servers of the usual kind close them (uvicorn: after 5 s, and without notice). */
const IDLE_MS_MAX = 4_000;
/**
 * Of a provider far away. What stands in front of those keeps connections for minutes, and a new one costs the next answer three ways there
 * and back. One that was closed all the same is noticed, and the request sent again.
 */
const SECURE_IDLE_MS_MAX = 30_000;
/** How long the rest of an answer that nobody needs may take, so that its connection can be used again. */
const REST_MS_MAX = 1_000;
/** It would say the same again. */
const NO_HTTP = /^HPE_(?!INVALID_EOF_STATE)/;
export const BROKEN_CERTIFICATE = /CERT|SELF_SIGNED|UNABLE_TO_VERIFY|ALTNAME|EPROTO|ERR_SSL/;

/**
 * HTTP to one upstream, over connections of its own.
 *
 * node:http and not fetch: a connection's own timeout, no redirect that would carry the key elsewhere, no decompression,
 * and a response that is read only as fast as someone asks.
 */
export class UpstreamClient {
  readonly #agent: HttpAgent;
  /** By path, of which OpenAI has a handful: taking an address apart costs as much as the rest of a request's head. */
  readonly #urls = new Map<string, URL>();
  readonly #targets = new WeakMap<URL, ReturnType<typeof urlToHttpOptions>>();

  constructor(private readonly options: UpstreamClientOptions) {
    const secure = options.baseUrl.protocol === 'https:';
    const settings = {
      keepAlive: true,
      maxSockets: options.socketsMax,
      timeout: secure ? SECURE_IDLE_MS_MAX : IDLE_MS_MAX,
      scheduling: 'lifo',
    } as const;
    this.#agent = secure ? new HttpsAgent({ ...settings, proxyEnv: options.proxy }) : new HttpAgent(settings);
  }

  /** OpenAI's path behind the base URL. */
  urlOf(path: string): URL {
    const known = this.#urls.get(path);
    if (known !== undefined) return known;
    const url = new URL(`${this.options.baseUrl.href}${path}`);
    this.#urls.set(path, url);
    return url;
  }

  /**
   * The upstream's answer from its first line on; the body is read by who asked, or closed.
   *
   * @throws UpstreamFailure when there is none; what `signal` was aborted with.
   */
  send(call: UpstreamCall, signal: AbortSignal): Promise<UpstreamResponse> {
    if (signal.aborted) return Promise.reject(signal.reason);
    const { subject, connectTimeoutMs } = this.options;
    const silenceMsMax = call.silenceMsMax ?? this.options.silenceMsMax;
    const request = this.#request(call);
    return new Promise((resolve, reject) => {
      // Told at once: while a proxy is asked for a way, node:http says nothing of a request that was destroyed.
      const giveUp = (error: Error): void => {
        request.destroy(error);
        fail(error);
      };
      const stop = (): void => giveUp(signal.reason);
      signal.addEventListener('abort', stop, { once: true });
      const connection = watchConnecting(request, connectTimeoutMs, () => {
        // One that waits until another gives its connection back is not connecting.
        if (!this.#waitsForConnection(request)) giveUp(new ConnectTimeout('the connection took too long'));
      });
      const silence = setTimeout(() => giveUp(new Silent(silenceMsMax)), silenceMsMax);
      let answered = false;
      request.once('response', (response) => {
        answered = true;
        clearTimeout(silence);
        // What goes wrong from here on, the body tells.
        resolve(new UpstreamResponse(response, subject, silenceMsMax, signal, stop));
      });
      const fail = (error: Error): void => {
        clearTimeout(silence);
        connection.unwatch();
        signal.removeEventListener('abort', stop);
        if (signal.aborted) reject(signal.reason);
        else reject(failureOfTransport(error, connection.stands, request.reusedSocket, subject));
      };
      request.on('error', fail);
      // Where a server would speak another protocol (101), node:http closes the connection and calls it no error.
      request.once('close', () => {
        if (!answered) fail(new Error('no answer'));
      });
      request.end(call.body);
    });
  }

  close(): void {
    this.#agent.destroy();
  }

  #waitsForConnection(request: ClientRequest): boolean {
    // Node's types call them messages that came.
    const waiting = Object.values(this.#agent.requests) as unknown as (readonly ClientRequest[] | undefined)[];
    return waiting.some((requests) => requests?.includes(request));
  }

  #request({ method, url, body, trace }: UpstreamCall): ClientRequest {
    const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
    const target = this.#targets.get(url) ?? urlToHttpOptions(url);
    this.#targets.set(url, target);
    return send({
      ...target,
      method,
      agent: this.#agent,
      headers: {
        ...this.options.subject.secret.headers(),
        accept: 'text/event-stream, application/json',
        // Nothing that a few bytes could blow up.
        'accept-encoding': 'identity',
        'user-agent': 'millrace',
        ...(trace && {
          traceparent: trace.traceparent,
          ...(trace.tracestate !== '' && { tracestate: trace.tracestate }),
        }),
        ...(body !== undefined && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
      },
    });
  }
}

/** What came, from its status on. Ownership: whoever has it reads it to its end or closes it. */
export class UpstreamResponse {
  #ended = false;
  #failure: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(
    private readonly response: IncomingMessage,
    private readonly subject: UpstreamSubject,
    private readonly silenceMsMax: number,
    private readonly signal: AbortSignal,
    private readonly stop: () => void,
  ) {
    const wake = (): void => this.#wake?.();
    response.on('readable', wake);
    response.once('end', () => {
      this.#ended = true;
      wake();
    });
    response.on('error', (error) => {
      this.#failure ??= error;
      wake();
    });
    response.once('close', () => {
      signal.removeEventListener('abort', stop);
      // An error collects its stack, which costs more than the rest of this: not for every answer that came to its end.
      if (!this.#ended) this.#failure ??= new Error('the connection was closed');
      wake();
    });
  }

  get status(): number {
    return this.response.statusCode ?? 0;
  }

  get headers(): Readonly<Record<string, unknown>> {
    return this.response.headers;
  }

  get contentType(): string {
    return this.response.headers['content-type']?.toLowerCase() ?? '';
  }

  /**
   * The next bytes, or undefined at the end. What nobody asks for stays in the socket.
   *
   * @param quietSinceMs since when (`performance.now()`) it has said nothing.
   * @param silenceMsMax how long it may.
   * @throws UpstreamFailure when the connection broke, or was silent for too long; what the signal was aborted with.
   */
  async read(quietSinceMs = performance.now(), silenceMsMax = this.silenceMsMax): Promise<Buffer | undefined> {
    for (;;) {
      if (this.signal.aborted) throw this.signal.reason;
      const bytes = this.response.read() as Buffer | null;
      if (bytes !== null) return bytes;
      if (this.#ended) return undefined;
      if (this.#failure !== undefined) throw failureOfTransport(this.#failure, true, false, this.subject);
      await this.#woken(quietSinceMs + silenceMsMax - performance.now(), silenceMsMax);
    }
  }

  /** The whole body. @throws as `read`, and UpstreamFailure when it has more than `bytesMax`. */
  async text(bytesMax: number): Promise<string> {
    const parts: Buffer[] = [];
    let bytes = 0;
    for (let part = await this.read(); part !== undefined; part = await this.read()) {
      bytes += part.length;
      if (bytes > bytesMax) throw tooLarge(bytesMax, this.subject);
      parts.push(part);
    }
    return Buffer.concat(parts).toString('utf8');
  }

  /** The beginning of the body: roughly `bytesMax` of it, or what comes within `msMax`. @throws what the signal was aborted with. */
  async head(bytesMax: number, msMax: number): Promise<string> {
    const parts: Buffer[] = [];
    const sinceMs = performance.now();
    try {
      for (let bytes = 0; bytes < bytesMax; bytes += parts.at(-1)!.length) {
        const part = await this.read(sinceMs, msMax);
        if (part === undefined) break;
        parts.push(part);
      }
    } catch (error) {
      if (!(error instanceof UpstreamFailure)) throw error;
    }
    return Buffer.concat(parts).toString('utf8');
  }

  /** The rest is of no interest. If little is left, the connection is used again, else it is closed. */
  leave(): void {
    if (this.#ended || this.#failure !== undefined) return;
    this.signal.removeEventListener('abort', this.stop);
    this.response.removeAllListeners('readable');
    const timer = setTimeout(() => this.response.destroy(), REST_MS_MAX).unref();
    this.response.once('close', () => clearTimeout(timer));
    this.response.resume();
  }

  /** Closes the connection, so that the upstream stops. */
  close(): void {
    if (!this.#ended) this.response.destroy();
  }

  async #woken(leftMs: number, silenceMsMax: number): Promise<void> {
    const timer = setTimeout(
      () => {
        this.#failure ??= new Silent(silenceMsMax);
        this.response.destroy();
        this.#wake?.();
      },
      Math.max(0, leftMs),
    );
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#wake = undefined;
    clearTimeout(timer);
  }
}

class Silent extends Error {
  constructor(readonly silenceMs: number) {
    super(`silent for ${silenceMs} ms`);
  }
}

class ConnectTimeout extends Error {
  readonly code = 'ETIMEDOUT';
}

/** Whether the connection stands yet; `tooLate` is called where that takes too long, be it for a proxy on the way. */
function watchConnecting(
  request: ClientRequest,
  timeoutMs: number,
  tooLate: () => void,
): { readonly stands: boolean; unwatch(): void } {
  const timer = setTimeout(tooLate, timeoutMs);
  const state = { stands: false, unwatch: () => clearTimeout(timer) };
  const onConnection = (): void => {
    state.stands = true;
    clearTimeout(timer);
  };
  request.once('socket', (socket) => {
    if (request.reusedSocket || !socket.connecting) return onConnection();
    socket.once((socket as TLSSocket).encrypted ? 'secureConnect' : 'connect', onConnection);
    socket.once('close', state.unwatch);
  });
  return state;
}

function failureOfTransport(
  error: Error & { readonly code?: string },
  connected: boolean,
  reused: boolean,
  { model, preset }: UpstreamSubject,
): UpstreamFailure {
  const who = `The server of \`${model}\` (${preset})`;
  const { code = 'no connection' } = error;
  // Without the bytes that node:http puts beside it: they may be anything, a key that the server sent back too.
  const cause = new Error(error.message);
  if (error instanceof Silent) {
    const said = `${who} said nothing for ${error.silenceMs.toLocaleString('en-US')} ms (\`silenceMsMax\`).`;
    return new UpstreamFailure(new InferenceError('upstream_failed', said, { cause: error }), 'never');
  }
  if (!connected) {
    const said = `${who} can't be reached (${code}).`;
    const retry = BROKEN_CERTIFICATE.test(code) ? 'never' : 'later';
    return new UpstreamFailure(new InferenceError('model_not_ready', said, { retryAfterSeconds: 5, cause }), retry);
  }
  const said = `${who} broke the connection off (${code}).`;
  // A connection that lay idle may have been closed by the server at this very moment.
  const retry = NO_HTTP.test(code) ? 'never' : reused ? 'at once' : 'later';
  return new UpstreamFailure(new InferenceError('upstream_failed', said, { cause }), retry);
}

function tooLarge(bytesMax: number, { model, preset }: UpstreamSubject): UpstreamFailure {
  const limit = bytesMax.toLocaleString('en-US');
  const said = `The server of \`${model}\` (${preset}) sent more than ${limit} bytes where fewer are enough.`;
  return new UpstreamFailure(new InferenceError('upstream_failed', said), 'never');
}
