import type { UploadBody, UploadPartBody } from '@millrace/contracts';
import type { UploadCompletion } from '../files/upload-completion.js';
import { partBody, uploadBody } from '../files/upload-rows.js';
import type { UploadStore } from '../files/upload-store.js';
import { FileMetrics } from '../metrics/file-metrics.js';
import { parseCompleteUpload, parseCreateUpload } from '../validation/parse-file-requests.js';
import type { Call } from '../vocabulary.js';
import type { FilePlaces } from './file-places.js';
import type { StoredCalls } from './stored-call.js';
import type { UploadForm } from './upload-form.js';

/** /v1/uploads: files that come in parts. */
export class ManageUploads {
  readonly #metrics = new FileMetrics();

  constructor(
    private readonly calls: StoredCalls,
    private readonly uploads: UploadStore,
    private readonly completion: UploadCompletion,
    private readonly places: FilePlaces,
  ) {}

  create(body: unknown, call: Call): Promise<UploadBody> {
    return this.calls.run('files', call, async () =>
      uploadBody(await this.uploads.create(call.caller.keyId, parseCreateUpload(body))),
    );
  }

  addPart(uploadId: string, form: UploadForm, call: Call): Promise<UploadPartBody> {
    return this.calls.run('files', call, async () => {
      const { keyId } = call.caller;
      using _place = this.places.take(keyId);
      const { content } = await form.file('data');
      async function* whole() {
        yield* content;
        // A part is there only when its form is: what breaks off behind it may have been cut off within it.
        await form.end();
      }
      const part = await this.uploads.addPart(keyId, uploadId, whole(), call.clientLeft, form.bytesExpected);
      this.#metrics.kept(part.bytes);
      return partBody(part);
    });
  }

  complete(uploadId: string, body: unknown, call: Call): Promise<UploadBody> {
    return this.calls.run('files', call, async () => {
      const asked = parseCompleteUpload(body);
      const { keyId } = call.caller;
      const takePlace = () => this.places.take(keyId);
      const { upload, file } = await this.completion.complete(keyId, uploadId, asked, call.clientLeft, { takePlace });
      return uploadBody(upload, file);
    });
  }

  cancel(uploadId: string, call: Call): Promise<UploadBody> {
    return this.calls.run('files', call, async () =>
      uploadBody(await this.uploads.cancel(call.caller.keyId, uploadId)),
    );
  }
}
