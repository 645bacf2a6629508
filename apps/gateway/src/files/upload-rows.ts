import { type FilePurpose, InferenceError, type UploadBody, type UploadPartBody } from '@millrace/contracts';
import { type FileRow, fileBody, unixSeconds } from './file-rows.js';

export interface UploadRow {
  readonly id: string;
  readonly state: 'pending' | 'completing' | 'completed' | 'cancelled';
  readonly filename: string;
  readonly purpose: FilePurpose;
  /** What was promised. */
  readonly bytes: number;
  /** Of its file. */
  readonly expires_after_seconds: number | null;
  readonly created_at: Date;
  readonly expires_at: Date;
  /** How it was completed; null: it is not. */
  readonly file_id: string | null;
  readonly part_ids: readonly string[] | null;
  /** Whether it is over, by the database's clock. */
  readonly expired: boolean;
  /** Whether somebody puts its file together just now. */
  readonly busy: boolean;
}

export const UPLOAD_COLUMNS = `id, state, filename, purpose, bytes, expires_after_seconds, created_at, expires_at, file_id, part_ids,
  expires_at <= now() as expired, coalesce(state = 'completing' and lease_expires_at > now(), false) as busy`;

export interface PartRow {
  readonly id: string;
  readonly upload_id: string;
  readonly bytes: number;
  readonly created_at: Date;
}

export const PART_COLUMNS = 'id, upload_id, bytes, created_at';

/** @param file of one that is completed; undefined: it was removed. */
export function uploadBody(row: UploadRow, file?: FileRow): UploadBody {
  return {
    id: row.id,
    object: 'upload',
    bytes: row.bytes,
    created_at: unixSeconds(row.created_at),
    expires_at: unixSeconds(row.expires_at),
    filename: row.filename,
    purpose: row.purpose,
    status: statusOf(row),
    ...(file && { file: fileBody(file) }),
  };
}

export function partBody({ id, created_at, upload_id }: PartRow): UploadPartBody {
  return { id, object: 'upload.part', created_at: unixSeconds(created_at), upload_id };
}

function statusOf({ state, expired }: UploadRow): UploadBody['status'] {
  if (state === 'completed' || state === 'cancelled') return state;
  return expired ? 'expired' : 'pending';
}

/** Where the content of its parts is, up to the id of each. */
export function partsPrefix(uploadId: string): string {
  return `${uploadId}/`;
}

/** @throws InferenceError unless it takes parts, and can be completed or cancelled. */
export function refuseUnlessOpen(row: UploadRow): void {
  const status = statusOf(row);
  if (status === 'pending' && !row.busy) return;
  const how = row.busy ? 'is being completed' : status === 'expired' ? 'has expired' : `is ${status}`;
  throw new InferenceError(
    'invalid_request',
    `The upload ${row.id} ${how}, and can't be changed any more. Begin anew with POST /v1/uploads.`,
    { param: 'upload_id' },
  );
}

export function uploadNotFound(id: string): never {
  throw new InferenceError(
    'upload_not_found',
    `There is no upload ${JSON.stringify(id.slice(0, 60))}: it never was, or is over for long. Begin anew with POST /v1/uploads.`,
    { param: 'upload_id' },
  );
}
