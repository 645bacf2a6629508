import { tlsFailure } from '@millrace/runtime';
import { S3Error } from 'minio';
import { ObjectStoreFull, ObjectStoreUnavailable } from '../object-store.js';

/** Which bucket a failure is told of, and where. */
interface Whose {
  readonly url: URL;
  readonly bucket: string;
}

/** It said nothing for too long: to ask again would take as long again. */
export class Silence extends ObjectStoreUnavailable {
  constructor(ms: number) {
    super(`It said nothing for ${ms.toLocaleString('en-US')} ms.`);
  }
}

export function hasS3Code(error: unknown, ...codes: readonly string[]): boolean {
  const cause = error instanceof ObjectStoreUnavailable ? error.cause : error;
  return cause instanceof S3Error && codes.includes(cause.code ?? '');
}

/** It may go well another time: it was too busy, or the connection was lost. */
export function isPassing(error: unknown): boolean {
  if (!(error instanceof ObjectStoreUnavailable)) return false;
  if (error instanceof ObjectStoreFull || error.cause instanceof Silence) return false;
  return !(error.cause instanceof S3Error) || hasS3Code(error, 'SlowDown', 'InternalError', 'ServiceUnavailable');
}

export function noBucket(bucket: string): string {
  return `The bucket ${bucket} is not there. Make it, or name another.`;
}

const KEYS_REFUSED: ReadonlySet<string> = new Set(['AccessDenied', 'InvalidAccessKeyId', 'SignatureDoesNotMatch']);
const FULL: ReadonlySet<string> = new Set(['XMinioStorageFull', 'QuotaExceeded', 'XMinioAdminBucketQuotaExceeded']);

export function inWords(error: unknown, { url, bucket }: Whose): ObjectStoreUnavailable {
  // What a server says in an answer that began well comes as it was written.
  const { message, code, Message, Code } = error as Partial<S3Error> & { Message?: string; Code?: string };
  const said = error instanceof S3Error ? (code ?? '') : (Code ?? '');
  const options = { cause: error };
  if (said === 'NoSuchBucket') return new ObjectStoreUnavailable(noBucket(bucket), options);
  if (KEYS_REFUSED.has(said))
    return new ObjectStoreUnavailable(
      `The object store at ${url.host} refuses its keys for the bucket ${bucket} (${said}). Put valid ones into the settings.`,
      options,
    );
  if (FULL.has(said)) return new ObjectStoreFull(`The object store at ${url.host} is full (${said}).`, options);
  const [, status] = /Retryable HTTP status: (\d+)/.exec(message ?? '') ?? [];
  const why = status
    ? `it answers with status ${status}.`
    : (tlsFailure(message ?? '', 's3Tls') ?? [said, message || Message || code].filter(Boolean).join(': '));
  return new ObjectStoreUnavailable(
    `The object store at ${url.host} can't be used: ${why.replace(/[^.]$/, '$&.') || 'it failed.'}`,
    options,
  );
}
