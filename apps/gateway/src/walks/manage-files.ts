import type { DeletedFileBody, FileBody, FileListBody } from '@millrace/contracts';
import type { OpenObject } from '@millrace/storage';
import { type FileRow, fileBody } from '../files/file-rows.js';
import type { FileDetails, FileStore } from '../files/file-store.js';
import { FileMetrics } from '../metrics/file-metrics.js';
import { parseCreateFile, parseFilename, parseListFiles } from '../validation/parse-file-requests.js';
import { type FilePartAsked, parseRange } from '../validation/parse-range.js';
import type { Call } from '../vocabulary.js';
import type { FilePlaces } from './file-places.js';
import { listBody } from './list-body.js';
import type { StoredCalls } from './stored-call.js';
import type { UploadForm } from './upload-form.js';

/** Ownership: whoever gets it disposes of `content`. */
export interface FilePart {
  readonly file: FileRow;
  /** Undefined: all of it. */
  readonly part: FilePartAsked | undefined;
  readonly content: Pick<OpenObject, 'content' | typeof Symbol.asyncDispose>;
}

/** /v1/files: kept, listed, read and removed. */
export class ManageFiles {
  readonly #metrics = new FileMetrics();

  constructor(
    private readonly calls: StoredCalls,
    private readonly files: FileStore,
    private readonly places: { readonly uploads: FilePlaces; readonly downloads: FilePlaces },
  ) {}

  create(form: UploadForm, call: Call): Promise<FileBody> {
    return this.calls.run('files', call, async () => {
      using _place = this.places.uploads.take(call.caller.keyId);
      const { filename, content } = await form.file('file');
      const name = parseFilename(filename);
      // What comes before the file is looked at before it: nobody sends a gigabyte to be told of a misspelt purpose.
      if (form.fields.has('purpose')) parseCreateFile(form.fields);
      const details = async (): Promise<FileDetails> => {
        await form.end();
        const { purpose, expires_after } = parseCreateFile(form.fields);
        return { filename: name, purpose, expiresAfterSeconds: expires_after?.seconds };
      };
      const limits = { bytesExpected: form.bytesExpected };
      const file = await this.files.create(call.caller.keyId, content, details, call.clientLeft, limits);
      this.#metrics.kept(file.bytes);
      return fileBody(file);
    });
  }

  find(id: string, call: Call): Promise<FileBody> {
    return this.calls.run('files', call, async () => fileBody(await this.files.find(call.caller.keyId, id)));
  }

  list(query: unknown, call: Call): Promise<FileListBody> {
    return this.calls.run('files', call, async () => {
      const { rows, hasMore } = await this.files.list(call.caller.keyId, parseListFiles(query));
      return listBody(rows.map(fileBody), hasMore);
    });
  }

  /**
   * Its record ends when the content begins: how much of it is read, and how fast, is the client's affair.
   *
   * @param range what the header of that name asks for.
   */
  open(id: string, range: string | undefined, call: Call): Promise<FilePart> {
    return this.calls.run('files', call, async () => {
      const file = await this.files.find(call.caller.keyId, id);
      const part = parseRange(range, file.bytes, call);
      const place = this.places.downloads.take(call.caller.keyId);
      try {
        const opened = await this.files.open(file, call.clientLeft, part);
        return { file, part, content: this.#counted(opened, place) };
      } catch (error) {
        place[Symbol.dispose]();
        throw error;
      }
    });
  }

  remove(id: string, call: Call): Promise<DeletedFileBody> {
    return this.calls.run('files', call, async () => {
      await this.files.remove(call.caller.keyId, id);
      return { id, object: 'file', deleted: true };
    });
  }

  /** @param place held until the content is released, which is once. */
  #counted(opened: OpenObject, place: Disposable): FilePart['content'] {
    const metrics = this.#metrics;
    async function* content() {
      for await (const piece of opened.content) {
        metrics.read(piece.byteLength);
        yield piece;
      }
    }
    const release = async () => {
      place[Symbol.dispose]();
      await opened[Symbol.asyncDispose]();
    };
    return { content: content(), [Symbol.asyncDispose]: release };
  }
}
