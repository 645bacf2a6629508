import { didYouMean } from '@millrace/runtime';
import { ModelProblem } from '../model-problem.js';
import { shownUrl } from './http-file.js';
import { PRESETS, type Preset } from './presets.js';

/** Where a model is to come from, as it was written and is understood. */
export type ModelSource =
  | { readonly kind: 'path'; readonly path: string }
  | { readonly kind: 'http'; readonly url: URL }
  | { readonly kind: 's3'; readonly bucket: string; readonly folder: string; readonly name: string }
  | HubFile
  | (Omit<HubFile, 'kind'> & { readonly kind: 'preset'; readonly preset: Preset; readonly name: string });

interface HubFile {
  readonly kind: 'hf';
  readonly repo: string;
  readonly file: string;
  readonly revision: string;
}

const PART = /^[A-Za-z0-9_][A-Za-z0-9._-]*$/;
const SOURCE_CHARACTERS_MAX = 4_000;

/**
 * Understands `https://…`, `s3://bucket/folder/file.gguf`, `hf:owner/repo/file.gguf@revision`, the name of a preset, or a path.
 *
 * @throws ModelProblem
 */
export function parseModelSource(text: string): ModelSource {
  if (text.length === 0 || text.length > SOURCE_CHARACTERS_MAX)
    throw new ModelProblem(
      'invalid',
      `A source has 1 to ${SOURCE_CHARACTERS_MAX.toLocaleString('en-US')} characters, and this has ${text.length}.`,
    );
  const [, scheme = ''] = /^([a-z][a-z0-9+.-]*):/i.exec(text) ?? [];
  switch (scheme.toLowerCase()) {
    case '':
      return Object.hasOwn(PRESETS, text) ? preset(text) : { kind: 'path', path: text };
    case 'http':
    case 'https':
      return { kind: 'http', url: httpUrl(text) };
    case 's3':
      return s3(text);
    case 'hf':
      return hub(text.slice('hf:'.length).replace(/^\/\//, ''));
    case 'preset':
      return preset(text.slice('preset:'.length));
    default:
      throw new ModelProblem(
        'invalid',
        `Models can't be had from ${JSON.stringify(text.slice(0, 100))}. A source is a path, an address that begins with https://, s3:// or hf:, or the name of a preset.`,
      );
  }
}

function httpUrl(text: string): URL {
  const url = URL.parse(text);
  if (url === null || url.hostname === '')
    throw new ModelProblem(
      'invalid',
      // Nothing of it is repeated: it may hold a password, and this may end up in a log.
      'What begins with http:// or https:// here is no address that can be read. Write one such as https://host/model.gguf.',
    );
  if (url.username !== '' || url.password !== '')
    throw new ModelProblem(
      'invalid',
      `The address of ${url.host} holds a name or a password, which would end up in the registry. Leave them out.`,
    );
  url.hash = '';
  return url;
}

function s3(text: string): ModelSource {
  const [, bucket = '', folder = '', name = ''] =
    /^s3:\/\/([a-z0-9][a-z0-9.-]{1,62})\/(.+)\/([^/]+)$/i.exec(text) ?? [];
  if (![...folder.split('/'), name].every((part) => PART.test(part)))
    throw new ModelProblem(
      'invalid',
      `${JSON.stringify(text.slice(0, 100))} is no file of a bucket. Write s3://bucket/folder/model.gguf, of letters, digits, ".", "_" and "-"; it has to lie in a folder.`,
    );
  return { kind: 's3', bucket, folder, name };
}

function hub(text: string): HubFile {
  const [, owner = '', repo = '', file = '', revision = 'main'] =
    /^([^/@]+)\/([^/@]+)\/([^@]+)(?:@([^@]+))?$/.exec(text) ?? [];
  const parts = [owner, repo, ...file.split('/'), ...revision.split('/')];
  if (!parts.every((part) => PART.test(part)))
    throw new ModelProblem(
      'invalid',
      `${JSON.stringify(`hf:${text.slice(0, 100)}`)} is no file of the Hugging Face hub. Write hf:owner/repo/model.gguf, and @revision behind it where it is not to be the newest.`,
    );
  return { kind: 'hf', repo: `${owner}/${repo}`, file, revision };
}

function preset(name: string): ModelSource {
  const found = Object.hasOwn(PRESETS, name) ? PRESETS[name] : undefined;
  if (found === undefined) {
    const names = Object.keys(PRESETS);
    throw new ModelProblem(
      'invalid',
      `There is no preset ${JSON.stringify(name.slice(0, 100))}.${didYouMean(name, names)} There are: ${names.join(', ')}.`,
    );
  }
  return { ...hub(found.file), kind: 'preset', preset: found, name };
}

/** As it stands in the registry: nothing secret in it. */
export function sourceText(source: ModelSource): string {
  switch (source.kind) {
    case 'path':
      return source.path;
    case 'http':
      return shownUrl(source.url);
    case 's3':
      return `s3://${source.bucket}/${source.folder}/${source.name}`;
    case 'hf':
      return `hf:${source.repo}/${source.file}@${source.revision}`;
    case 'preset':
      return `preset:${source.name}`;
  }
}

/** The name of its file, without what stands before it. */
export function fileNameOf(source: ModelSource): string {
  switch (source.kind) {
    case 'path':
      return source.path.split('/').at(-1)!;
    case 'http':
      return decodedName(source.url);
    case 's3':
      return source.name;
    case 'hf':
    case 'preset':
      return source.file.split('/').at(-1)!;
  }
}

function decodedName(url: URL): string {
  const last = url.pathname.split('/').at(-1) ?? '';
  try {
    return decodeURIComponent(last);
  } catch {
    return last;
  }
}
