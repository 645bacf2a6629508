import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { Busboy, type BusboyInstance } from '@fastify/busboy';
import { InferenceError } from '@millrace/contracts';
import type { FormFile, UploadForm } from '../walks/upload-form.js';
import { type BodyPatience, SlowBody } from './slow-body.js';

const FIELDS_MAX = 32;
const FIELD_BYTES_MAX = 16 * 1024;
const HEADER_BYTES_MAX = 8 * 1024;
/** More than all fields together may have. */
const BEFORE_FILE_BYTES_MAX = 1024 * 1024;
/** Of a form that is not nonsense, all but the file: a file that is just as large as it may be is not refused for that. */
const FORM_BYTES_MAX = 64 * 1024;

/**
 * A form that is read as it comes (RFC 7578), with a file in it that may be as large as anything.
 *
 * Busboy is driven by hand, and not by a plug-in's pipe: so the time that is waited for the sender can be told from that in which the store
 * is slow, and a form that is refused is read to its end rather than cut off, or its sender would see no answer.
 *
 * Ownership: whoever makes it disposes of it, on every path.
 */
export class MultipartForm implements UploadForm, Disposable {
  readonly bytesExpected: number | undefined;
  readonly fields = new Map<string, string>();
  readonly #parser: BusboyInstance;
  readonly #watch: SlowBody;
  /** Undefined: there was none. */
  readonly #file = Promise.withResolvers<{ name: string; file: FormFile } | undefined>();
  readonly #end = Promise.withResolvers<void>();
  #content: Readable | undefined;
  #bytes = 0;
  #failure: InferenceError | undefined;
  #over = false;

  /** @throws InferenceError when it is no form. */
  constructor(
    private readonly request: IncomingMessage,
    private readonly patience: BodyPatience,
  ) {
    const length = request.headers['content-length'];
    this.bytesExpected = length === undefined ? undefined : Math.max(0, Number(length) - FORM_BYTES_MAX);
    this.#parser = parserOf(request);
    this.#watch = new SlowBody(patience, (error) => this.#fail(error));
    for (const promise of [this.#file.promise, this.#end.promise]) promise.catch(() => {}); // Maybe nobody asks.
    this.#listen();
    request.on('data', this.#take).on('end', this.#ended).on('error', this.#left).on('close', this.#left);
    this.#watch.waits();
  }

  async file(name: string): Promise<FormFile> {
    const sent = await this.#file.promise;
    if (sent?.name === name) return sent.file;
    throw new InferenceError(
      'invalid_request',
      sent === undefined
        ? `The form has no file in it. Send it under \`${name}\`, with a filename.`
        : `The form has a file under ${JSON.stringify(sent.name.slice(0, 60))}; it belongs under \`${name}\`.`,
      { param: name },
    );
  }

  end(): Promise<void> {
    return this.#end.promise;
  }

  /** What still comes is thrown away, for a while: who is cut off in mid-sentence sees no answer. */
  [Symbol.dispose](): void {
    if (this.#over) return;
    this.#over = true;
    this.#watch.close();
    this.#content?.destroy();
    this.request.off('data', this.#take).off('end', this.#ended);
    if (this.request.readableEnded || this.request.destroyed) return;
    const timer = setTimeout(() => this.request.destroy(), this.patience.stallMs);
    this.request.once('close', () => clearTimeout(timer));
    this.request.once('end', () => clearTimeout(timer));
    this.request.resume();
  }

  #listen(): void {
    this.#parser
      .on('field', (name: string, value: string, _nameCut: boolean, cut: boolean) => this.#field(name, value, cut))
      .on('file', (name: string, content: Readable, filename: string) => this.#begin(name, content, filename))
      .on('fieldsLimit', () => this.#refuse(`The form has more than ${FIELDS_MAX} fields.`))
      .on('partsLimit', () => this.#refuse(`The form has more than ${FIELDS_MAX} parts.`))
      .on('error', (error: unknown) => this.#refuse(`The form can't be read: ${(error as Error).message}.`))
      .on('finish', () => {
        this.#file.resolve(undefined);
        this.#end.resolve();
      });
  }

  #field(name: string | undefined, value: string, cut: boolean): void {
    if (name === undefined) return;
    if (cut) this.#refuse(`\`${name.slice(0, 60)}\` has more than ${FIELD_BYTES_MAX} bytes.`);
    else this.fields.set(name, value);
  }

  #begin(name: string | undefined, content: Readable, filename: string | undefined): void {
    content.on('error', (error) => this.#refuse(`The form breaks off: ${error.message}.`));
    if (this.#content !== undefined) {
      content.resume();
      this.#refuse('The form has two files; send one.');
      return;
    }
    this.#content = content;
    this.#file.resolve({ name: name ?? '', file: { filename: filename ?? '', content: this.#read(content) } });
  }

  /** What went wrong with the form comes out of its file, and in our words. */
  async *#read(content: Readable): AsyncGenerator<Uint8Array> {
    try {
      yield* content;
    } catch (error) {
      throw this.#failure ?? error;
    }
  }

  readonly #take = (piece: Buffer): void => {
    this.#watch.came(piece.byteLength);
    this.#bytes += piece.byteLength;
    if (this.#content === undefined && this.#bytes > BEFORE_FILE_BYTES_MAX)
      this.#refuse(`No file began within ${BEFORE_FILE_BYTES_MAX} bytes of the form.`);
    let taken = false;
    this.#parser.write(piece, () => {
      taken = true;
      if (this.#over || this.#failure !== undefined) return;
      this.#watch.waits();
      this.request.resume();
    });
    if (!taken && !this.#over) this.request.pause();
  };

  readonly #ended = (): void => {
    this.#watch.close();
    this.#parser.end();
  };

  /** The connection closes after the body as well, and then there is nothing to tell. */
  readonly #left = (): void => {
    if (this.request.complete) return;
    this.#fail(new InferenceError('client_closed_request', 'The client left before its file had come.'));
  };

  #refuse(sentence: string): void {
    this.#fail(new InferenceError('invalid_request', sentence));
  }

  #fail(error: InferenceError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#watch.close();
    this.#file.reject(error);
    this.#end.reject(error);
    this.#content?.destroy(error);
  }
}

function parserOf({ headers }: IncomingMessage): BusboyInstance {
  try {
    return new Busboy({
      headers: { ...headers, 'content-type': headers['content-type'] ?? '' },
      limits: {
        fields: FIELDS_MAX,
        fieldSize: FIELD_BYTES_MAX,
        parts: FIELDS_MAX,
        headerSize: HEADER_BYTES_MAX,
        headerPairs: FIELDS_MAX,
      },
    });
  } catch (cause) {
    const sentence = `The form can't be read: ${(cause as Error).message}. Send multipart/form-data with a boundary.`;
    throw new InferenceError('invalid_request', sentence, { cause });
  }
}
