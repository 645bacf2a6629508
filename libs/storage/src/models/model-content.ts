import { createHash } from 'node:crypto';
import { open, readdir, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { GgufDamage, type GgufFacts, ggufParts, readGgufLayout } from '@millrace/runtime';
import { codeOf, ModelProblem } from './model-problem.js';
import { isBelow, MODEL_FILES_MAX, type ModelFileEntry, type ModelTask, type RegistryEntry } from './registry-entry.js';

/** A model as it lies on a disk, before anything of it was read but its beginning. */
export interface ModelContent {
  /** Of the file, or of the first of its parts, or of the folder; absolute. */
  readonly path: string;
  /** What the paths of the files are relative to. */
  readonly folder: string;
  readonly format: 'gguf' | 'openvino';
  readonly files: readonly { readonly path: string; readonly bytes: number }[];
  readonly size: number;
  readonly task: ModelTask;
  readonly quantisation: string | null;
  readonly licence: string | null;
}

export type OnBytes = (bytes: number, bytesAll: number | undefined) => void;

const READ_BYTES = 1024 * 1024;
/** Of folders in the folder of a model. */
const DEPTH_MAX = 4;
const OPENVINO_MODEL = /^openvino_(language_)?model\.xml$/;

/** @throws ModelProblem where nothing is there that can be run. */
export async function contentAt(path: string): Promise<ModelContent> {
  try {
    return (await stat(path)).isDirectory() ? await folderContent(resolve(path)) : await ggufContent(resolve(path));
  } catch (error) {
    if (error instanceof ModelProblem) throw error;
    if (error instanceof GgufDamage)
      throw new ModelProblem('invalid', `${path} is no GGUF file that can be run: ${error.message}.`, { cause: error });
    throw new ModelProblem('not_found', `${path} can't be read (${codeOf(error)}). Check the path.`, { cause: error });
  }
}

async function ggufContent(path: string): Promise<ModelContent> {
  const parts = ggufParts(path);
  const folder = dirname(path);
  const sizes = await Promise.all(
    parts.map(async (part) => ({ path: basename(part), bytes: (await stat(part)).size })),
  );
  const [{ facts }] = await Promise.all([readGgufLayout(parts[0]!), ...parts.slice(1).map(readGgufLayout)]);
  return {
    ...{ path: parts[0]!, folder, format: 'gguf', files: sizes, size: total(sizes) },
    ...{ task: taskOf(facts), quantisation: quantisationOf(facts), licence: facts.licence ?? null },
  };
}

async function folderContent(folder: string): Promise<ModelContent> {
  const files = await filesBelow(folder, '', 0);
  if (!files.some(({ path }) => OPENVINO_MODEL.test(path))) {
    const ggufs = files.filter(({ path }) => path.endsWith('.gguf'));
    if (ggufs.length > 0 && ggufParts(ggufs[0]!.path).length === ggufs.length)
      return ggufContent(join(folder, ggufs[0]!.path));
    const remedy =
      ggufs.length > 0
        ? `It has several models: name one of ${ggufs
            .slice(0, 5)
            .map(({ path }) => path)
            .join(', ')}.`
        : `If it is a model as it is trained, convert it first: millrace models convert ${folder}`;
    throw new ModelProblem(
      'invalid',
      `The folder ${folder} is neither a model of OpenVINO (it has no openvino_model.xml) nor one .gguf file. ${remedy}`,
    );
  }
  return {
    path: folder,
    folder,
    format: 'openvino',
    files,
    size: total(files),
    task: 'chat',
    quantisation: null,
    licence: null,
  };
}

async function filesBelow(folder: string, within: string, depth: number): Promise<{ path: string; bytes: number }[]> {
  const found: { path: string; bytes: number }[] = [];
  for (const entry of await readdir(join(folder, within), { withFileTypes: true })) {
    const path = within === '' ? entry.name : `${within}/${entry.name}`;
    if (!isBelow(path)) continue; // What is hidden, such as a downloader's notes, is none of it.
    if (entry.isDirectory() && depth < DEPTH_MAX) found.push(...(await filesBelow(folder, path, depth + 1)));
    else if (entry.isFile() || entry.isSymbolicLink())
      found.push({ path, bytes: (await stat(join(folder, path))).size });
    if (found.length > MODEL_FILES_MAX)
      throw new ModelProblem(
        'invalid',
        `The folder ${folder} has more than ${MODEL_FILES_MAX.toLocaleString('en-US')} files, which is no model.`,
      );
  }
  return found.sort((one, other) => (one.path < other.path ? -1 : 1));
}

function total(files: readonly { readonly bytes: number }[]): number {
  return files.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** Reads everything, once. @throws ModelProblem; the signal's reason. */
export async function digestedFiles(
  { folder, files, size }: Pick<ModelContent, 'folder' | 'files' | 'size'>,
  signal: AbortSignal,
  onBytes: OnBytes = () => {},
): Promise<ModelFileEntry[]> {
  const digested: ModelFileEntry[] = [];
  let before = 0;
  for (const { path } of files) {
    const { sha256, bytes } = await digestOfFile(join(folder, path), signal, (read) => onBytes(before + read, size));
    digested.push({ path, bytes, sha256 });
    before += bytes;
  }
  return digested;
}

/** @throws ModelProblem; the signal's reason. */
export async function digestOfFile(
  path: string,
  signal: AbortSignal,
  onBytes: (bytes: number) => void = () => {},
): Promise<{ readonly sha256: string; readonly bytes: number }> {
  const hash = createHash('sha256');
  // One for all of the file: a stream makes one for each piece, and of a large file hundreds of them wait to be collected.
  const piece = Buffer.allocUnsafe(READ_BYTES);
  let bytes = 0;
  try {
    await using file = await open(path, 'r');
    for (;;) {
      signal.throwIfAborted();
      const { bytesRead } = await file.read(piece, 0, READ_BYTES, bytes);
      if (bytesRead === 0) break;
      hash.update(piece.subarray(0, bytesRead));
      bytes += bytesRead;
      onBytes(bytes);
    }
  } catch (error) {
    signal.throwIfAborted();
    throw new ModelProblem('not_found', `${path} can't be read (${codeOf(error)}). Check the path.`, { cause: error });
  }
  return { sha256: hash.digest('hex'), bytes };
}

/** Of one file, its own; of several, that of what `sha256sum` prints of them, in the order of their names. */
export function digestOfFiles(files: readonly Pick<ModelFileEntry, 'path' | 'sha256'>[]): string {
  if (files.length === 1) return files[0]!.sha256;
  const lines = [...files]
    .sort((one, other) => (one.path < other.path ? -1 : 1))
    .map(({ path, sha256 }) => `${sha256}  ${path}\n`);
  return createHash('sha256').update(lines.join('')).digest('hex');
}

/** All files of an entry, with their paths below the folder that they lie in. */
export function filesOfEntry({ files, path, size, digest }: RegistryEntry): readonly ModelFileEntry[] {
  return files ?? [{ path: basename(path), bytes: size, sha256: digest }];
}

/** What its files are relative to, where the model itself is at `path`. */
export function folderOfEntry(entry: RegistryEntry, path: string): string {
  return entry.format === 'openvino' ? path : dirname(path);
}

function taskOf({ architecture = '', pooling = 0, hasChatTemplate }: GgufFacts): ModelTask {
  if (pooling === POOLING_RANK) return 'rerank';
  if (pooling > 0 || /bert|embedding|t5encoder/.test(architecture)) return 'embedding';
  return hasChatTemplate ? 'chat' : 'completion';
}

/** Of llama.cpp's `llama_pooling_type`. */
const POOLING_RANK = 4;

/** llama.cpp's `llama_ftype`. */
const FILE_TYPES: Readonly<Record<number, string>> = {
  ...{
    0: 'F32',
    1: 'F16',
    2: 'Q4_0',
    3: 'Q4_1',
    7: 'Q8_0',
    8: 'Q5_0',
    9: 'Q5_1',
    10: 'Q2_K',
    11: 'Q3_K_S',
    12: 'Q3_K_M',
  },
  ...{ 13: 'Q3_K_L', 14: 'Q4_K_S', 15: 'Q4_K_M', 16: 'Q5_K_S', 17: 'Q5_K_M', 18: 'Q6_K', 19: 'IQ2_XXS', 20: 'IQ2_XS' },
  ...{ 21: 'Q2_K_S', 22: 'IQ3_XS', 23: 'IQ3_XXS', 24: 'IQ1_S', 25: 'IQ4_NL', 26: 'IQ3_S', 27: 'IQ3_M', 28: 'IQ2_S' },
  ...{ 29: 'IQ2_M', 30: 'IQ4_XS', 31: 'IQ1_M', 32: 'BF16', 36: 'TQ1_0', 37: 'TQ2_0', 38: 'MXFP4_MOE' },
};

function quantisationOf({ fileType }: GgufFacts): string | null {
  return (fileType !== undefined && FILE_TYPES[fileType]) || null;
}
