import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { ModelProblem } from '../model-problem.js';
import { type AddressRule, checkLiteralHost, guardedLookup } from './public-address.js';
import { type OpenRemote, RangeGone, RemoteBroken, type RemoteFile, type Resume } from './remote-file.js';

export interface HttpTerms {
  readonly mayAsk: AddressRule;
  /** So long it may say nothing: while it is connected to, before it answers, and between two pieces. */
  readonly silenceMsMax: number;
  /** In place of the system's, for tests. */
  readonly lookup?: Parameters<typeof guardedLookup>[1];
  /** Authorities to believe beside those of Node. */
  readonly ca?: string | Buffer | undefined;
}

export interface HttpFileOptions {
  /** Sent to the host of `url`, and to nobody it redirects to. */
  readonly authorization?: string | undefined;
  /** Of the answer of the first host. */
  readonly sha256Of?: (headers: IncomingHttpHeaders) => string | undefined;
  readonly bytesOf?: (headers: IncomingHttpHeaders) => number | undefined;
  /** What to do where it refuses (401, 403). */
  readonly ifRefused?: string;
}

const REDIRECTS_MAX = 5;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/** It may go well another time. */
const PASSING: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504]);

/**
 * A file of an HTTP server. Every host on the way is checked before it is connected to, and nothing is asked of any but by GET.
 *
 * Node's own client and not `fetch`, which follows redirects by itself and does not tell what it connects to.
 */
export class HttpFile implements RemoteFile {
  readonly name: string;

  constructor(
    private readonly url: URL,
    private readonly terms: HttpTerms,
    private readonly options: HttpFileOptions = {},
  ) {
    this.name = shownUrl(url);
  }

  async open(resume: Resume | undefined, signal: AbortSignal): Promise<OpenRemote> {
    let url = this.url;
    let said: { readonly sha256: string | undefined; readonly bytes: number | undefined } | undefined;
    for (let hop = 0; hop <= REDIRECTS_MAX; hop++) {
      const response = await this.#ask(url, resume, signal);
      said ??= { sha256: this.options.sha256Of?.(response.headers), bytes: this.options.bytesOf?.(response.headers) };
      const { statusCode = 0, headers } = response;
      if (!REDIRECTS.has(statusCode) || headers.location === undefined)
        return this.#opened(response, url, resume, said, signal);
      response.destroy();
      url = this.#next(url, headers.location);
    }
    throw new ModelProblem('source', `${this.name} redirects more than ${REDIRECTS_MAX} times. Check the address.`);
  }

  #next(from: URL, location: string): URL {
    const to = URL.parse(location, from.href);
    if (to === null || !/^https?:$/.test(to.protocol))
      throw new ModelProblem(
        'source',
        `${this.name} redirects to ${JSON.stringify(location.slice(0, 100))}, which is no http or https address.`,
      );
    if (from.protocol === 'https:' && to.protocol === 'http:')
      throw new ModelProblem(
        'source',
        `${this.name} redirects from https to http, at ${to.host}: what comes from there could be anybody's. Name another address.`,
      );
    return to;
  }

  #ask(url: URL, resume: Resume | undefined, signal: AbortSignal): Promise<IncomingMessage> {
    const { mayAsk, silenceMsMax, lookup, ca } = this.terms;
    checkLiteralHost(url.hostname, mayAsk);
    const isOwn = url.origin === this.url.origin;
    const { authorization } = this.options;
    const headers = {
      'user-agent': 'millrace',
      // What is counted and hashed is the file itself.
      'accept-encoding': 'identity',
      ...(authorization !== undefined && isOwn && { authorization }),
      ...(resume !== undefined && { range: `bytes=${resume.from}-`, 'if-range': resume.version }),
    };
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const start = url.protocol === 'https:' ? httpsRequest : httpRequest;
    const lookedUp = guardedLookup(mayAsk, lookup) as NonNullable<Parameters<typeof httpRequest>[1]>['lookup'];
    const sent = start(url, { headers, agent: false, lookup: lookedUp, signal, ...(ca && { ca }) }, resolve);
    const timer = setTimeout(() => sent.destroy(silent(url, silenceMsMax)), silenceMsMax);
    sent.once('error', reject).end();
    return promise.then(
      (response) => {
        clearTimeout(timer);
        return response;
      },
      (error: unknown) => {
        clearTimeout(timer);
        signal.throwIfAborted();
        throw error instanceof ModelProblem ? error : broken(url, error);
      },
    );
  }

  #opened(
    response: IncomingMessage,
    url: URL,
    resume: Resume | undefined,
    said: { readonly sha256: string | undefined; readonly bytes: number | undefined },
    signal: AbortSignal,
  ): OpenRemote {
    try {
      this.#refuse(response, resume);
      const { from, bytes } = rangeOf(response, resume, this.name);
      const version = versionOf(response.headers);
      // Not every server knows If-Range: a part of another file, or of who knows which, is never joined to what is here.
      if (from > 0 && version !== resume?.version) throw new RangeGone(`${this.name} is another file by now.`);
      if (said.bytes !== undefined && bytes !== undefined && said.bytes !== bytes)
        throw new ModelProblem(
          'source',
          `${this.name} has ${bytes.toLocaleString('en-US')} bytes, and was said to have ${said.bytes.toLocaleString('en-US')}. Try again later, or name another address.`,
        );
      return {
        from,
        bytes: bytes ?? said.bytes,
        version,
        sha256: said.sha256,
        content: readPieces(response, url, this.terms.silenceMsMax, signal),
        [Symbol.asyncDispose]: async () => void response.destroy(),
      };
    } catch (error) {
      response.destroy();
      throw error;
    }
  }

  #refuse({ statusCode = 0, headers }: IncomingMessage, resume: Resume | undefined): void {
    if (statusCode === 200 || (statusCode === 206 && resume !== undefined)) {
      const encoding = headers['content-encoding'] ?? 'identity';
      if (encoding === 'identity') return;
      throw new ModelProblem(
        'source',
        `${this.name} comes packed as ${encoding}, which was not asked for. Name another address.`,
      );
    }
    // What there is may have become shorter than what is here.
    if (statusCode === 416 && resume !== undefined) throw new RangeGone(`${this.name} is another file by now.`);
    if (PASSING.has(statusCode)) throw new RemoteBroken(`${this.name} answers with status ${statusCode}.`);
    const { ifRefused } = this.options;
    const hint = statusCode === 401 || statusCode === 403 ? ifRefused : 'Check the address.';
    throw new ModelProblem(
      statusCode === 404 ? 'not_found' : 'source',
      `${this.name} can't be had: its server answers with status ${statusCode}. ${hint ?? 'Check the address.'}`,
    );
  }
}

/** Without what may be secret in it: a signed address gives whoever has it the file. */
export function shownUrl(url: URL): string {
  return `${url.origin}${url.pathname}`;
}

function rangeOf(
  { statusCode, headers }: IncomingMessage,
  resume: Resume | undefined,
  name: string,
): { readonly from: number; readonly bytes: number | undefined } {
  const length = headers['content-length'];
  if (statusCode === 200) return { from: 0, bytes: length === undefined ? undefined : Number(length) };
  const [, from, all] = /^bytes (\d+)-\d+\/(\d+)$/.exec(headers['content-range'] ?? '') ?? [];
  if (from !== undefined && Number(from) === resume?.from) return { from: Number(from), bytes: Number(all) };
  throw new ModelProblem('source', `${name} sends another part of the file than was asked for. Name another address.`);
}

/** What `If-Range` takes: a strong tag, or a time. */
function versionOf({ etag, 'last-modified': modified }: IncomingHttpHeaders): string | undefined {
  return etag !== undefined && !etag.startsWith('W/') ? etag : modified;
}

async function* readPieces(
  response: IncomingMessage,
  url: URL,
  silenceMsMax: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const pieces = response[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  for (;;) {
    // Only while something is waited for: whoever writes it down may take their time.
    const timer = setTimeout(() => response.destroy(silent(url, silenceMsMax)), silenceMsMax);
    try {
      const next = await pieces.next();
      if (next.done) break;
      clearTimeout(timer);
      yield next.value;
    } catch (error) {
      signal.throwIfAborted();
      throw broken(url, error);
    } finally {
      clearTimeout(timer);
    }
  }
  signal.throwIfAborted();
  if (!response.complete) throw broken(url, new Error('it ended too early'));
}

function silent(url: URL, ms: number): Error {
  return new Error(`${url.host} said nothing for ${ms.toLocaleString('en-US')} ms`);
}

function broken(url: URL, error: unknown): RemoteBroken {
  if (error instanceof RemoteBroken) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  const why = code === 'ENOTFOUND' ? 'there is no such host' : message || code;
  return new RemoteBroken(`${shownUrl(url)} can't be had: ${why}.`, { cause: error });
}
