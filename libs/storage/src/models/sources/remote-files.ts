import type { IncomingHttpHeaders } from 'node:http';
import { ggufParts } from '@millrace/runtime';
import type { ObjectStore } from '../../object-store.js';
import { ModelProblem } from '../model-problem.js';
import { HttpFile, type HttpTerms } from './http-file.js';
import { fileNameOf, type ModelSource } from './model-source.js';
import { ObjectFile } from './object-file.js';
import type { RemoteFile } from './remote-file.js';

export interface SourceTerms extends HttpTerms {
  /** Of the hub: `https://huggingface.co`, or a mirror of it. */
  readonly hubUrl: string;
  /** Shown to the hub alone; undefined: none. */
  readonly hubToken: string | undefined;
  /** A bucket of the S3 server of the settings; undefined: there is no server. */
  readonly openBucket: ((bucket: string, folder: string) => Promise<ObjectStore>) | undefined;
}

/** A file to be fetched, and how it is to be called. */
export interface SourceFile {
  readonly name: string;
  readonly remote: RemoteFile;
  readonly sha256: string | undefined;
}

export interface SourceFiles extends AsyncDisposable {
  readonly files: readonly SourceFile[];
}

/** All files of a source: a model may lie in several parts. @throws ModelProblem */
export async function remoteFiles(
  source: Exclude<ModelSource, { readonly kind: 'path' }>,
  terms: SourceTerms,
): Promise<SourceFiles> {
  const names = ggufParts(fileNameOf(source));
  const nothing = { [Symbol.asyncDispose]: async () => {} };
  switch (source.kind) {
    case 'http': {
      const at = (name: string) => (names.length === 1 ? source.url : new URL(encodeURIComponent(name), source.url));
      return {
        files: names.map((name) => ({ name, remote: new HttpFile(at(name), terms), sha256: undefined })),
        ...nothing,
      };
    }
    case 'hf':
    case 'preset': {
      const sha256 = source.kind === 'preset' ? source.preset.sha256 : undefined;
      const files = names.map((name) => ({ name, remote: hubFile(source, name, terms), sha256 }));
      return { files, ...nothing };
    }
    case 's3': {
      if (terms.openBucket === undefined)
        throw new ModelProblem(
          'invalid',
          'A source s3://… is a file of the S3 server of the settings, and they name none. Set s3Url, s3AccessKey, s3SecretKey and s3Bucket.',
        );
      const store = await terms.openBucket(source.bucket, source.folder);
      const files = names.map((name) => ({ name, remote: new ObjectFile(store, name), sha256: undefined }));
      return { files, [Symbol.asyncDispose]: () => store.close() };
    }
  }
}

function hubFile(
  { repo, file, revision }: { readonly repo: string; readonly file: string; readonly revision: string },
  name: string,
  terms: SourceTerms,
): HttpFile {
  const base = URL.parse(terms.hubUrl);
  if (base === null || !/^https?:$/.test(base.protocol))
    throw new ModelProblem(
      'invalid',
      `HF_ENDPOINT is ${JSON.stringify(terms.hubUrl.slice(0, 100))}, which is no address. Write one such as https://huggingface.co.`,
    );
  const folder = file.split('/').slice(0, -1);
  const path = [repo, 'resolve', encodeURIComponent(revision), ...folder, name].join('/');
  const url = new URL(`${base.origin}${base.pathname.replace(/\/$/, '')}/${path}`);
  const authorization = terms.hubToken === undefined ? undefined : `Bearer ${terms.hubToken}`;
  return new HttpFile(url, terms, {
    authorization,
    // Said by the hub itself, before it leads to where the file is kept.
    sha256Of: (headers) => digestIn(headers['x-linked-etag']),
    bytesOf: linkedBytes,
    ifRefused:
      terms.hubToken === undefined
        ? 'It may be gated: accept its licence on the hub, and give a token by HF_TOKEN.'
        : 'The token in HF_TOKEN may not have it: accept its licence on the hub, or take another token.',
  });
}

function digestIn(etag: string | string[] | undefined): string | undefined {
  const [, digest] = /^"?([0-9a-f]{64})"?$/.exec([etag].flat()[0] ?? '') ?? [];
  return digest;
}

function linkedBytes(headers: IncomingHttpHeaders): number | undefined {
  const size = [headers['x-linked-size']].flat()[0];
  return size !== undefined && /^\d{1,15}$/.test(size) ? Number(size) : undefined;
}
