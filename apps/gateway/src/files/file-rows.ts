import type { FileBody, FilePurpose } from '@millrace/contracts';

/** What is known of a file whose content is there, whole. */
export interface FileRow {
  readonly id: string;
  readonly filename: string;
  readonly purpose: FilePurpose;
  readonly bytes: number;
  /** In hexadecimal digits. */
  readonly sha256: string;
  readonly created_at: Date;
  /** Null: never. */
  readonly expires_at: Date | null;
}

export const FILE_COLUMNS = 'id, filename, purpose, bytes, sha256, created_at, expires_at';

/** What anybody is shown. */
export const VISIBLE = "state = 'ready' and (expires_at is null or expires_at > now())";

export function fileBody(row: FileRow): FileBody {
  return {
    id: row.id,
    object: 'file',
    bytes: row.bytes,
    created_at: unixSeconds(row.created_at),
    ...(row.expires_at !== null && { expires_at: unixSeconds(row.expires_at) }),
    filename: row.filename,
    purpose: row.purpose,
    status: 'processed',
  };
}

export function unixSeconds(date: Date): number {
  return Math.floor(date.getTime() / 1_000);
}
