import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { ModelTask } from '@millrace/storage';
import { CommandError } from '../../command.js';

/** What a conversion leaves in the folder of a model. */
export const CONVERSION_FILE = 'conversion.json';
/** Where its originals are moved to. */
export const ORIGINALS = 'original';
/** Where the result lies until it is whole. */
export const CONVERTING = '.converting';

/** A folder with a model as it is trained, and whether it can be converted. */
export interface TrainedModel {
  readonly folder: string;
  readonly task: ModelTask;
  readonly state: 'ready' | 'converted' | 'incomplete';
  /** Why it is not ready. */
  readonly why: string;
}

/** Below the folder that `--all` is given: `owner/model`, and no deeper. */
const DEPTH_MAX = 2;
const MODELS_MAX = 1_000;
const JSON_BYTES_MAX = 64 * 1024 * 1024;

/** @throws CommandError where nothing is there. */
export function findTrained(folder: string, all: boolean): readonly TrainedModel[] {
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory())
    throw new CommandError(
      `${folder} is no folder. Name the one that a model was downloaded into: the one with config.json.`,
    );
  const folders = all ? modelFoldersIn(folder, 1) : [folder];
  if (folders.length === 0)
    throw new CommandError(`No folder below ${folder} has a model in it: none has a config.json or weights.`);
  return folders.slice(0, MODELS_MAX).map(assess);
}

function modelFoldersIn(folder: string, depth: number): string[] {
  const below = readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.') && entry.name !== ORIGINALS)
    .map(({ name }) => join(folder, name))
    .sort();
  return below.flatMap((each) => {
    if (looksLikeModel(each)) return [each];
    return depth < DEPTH_MAX ? modelFoldersIn(each, depth + 1) : [];
  });
}

function looksLikeModel(folder: string): boolean {
  return readdirSync(folder).some((name) => name === 'config.json' || name === CONVERSION_FILE || isWeights(name));
}

function assess(folder: string): TrainedModel {
  if (existsSync(join(folder, CONVERSION_FILE)))
    return {
      folder,
      task: 'chat',
      state: 'converted',
      why: `it was converted before: ${join(folder, CONVERSION_FILE)} says into what`,
    };
  const why = whatIsMissing(folder);
  return { folder, task: taskIn(folder), state: why === '' ? 'ready' : 'incomplete', why };
}

function isWeights(name: string): boolean {
  return /\.safetensors$/.test(name) || /^pytorch_model.*\.bin$/.test(name);
}

/** As the end of a sentence; empty: nothing. */
function whatIsMissing(folder: string): string {
  const names = readdirSync(folder);
  if (!names.includes('config.json')) return 'it has no config.json';
  if (names.some((name) => /\.(part|incomplete|aria2|crdownload)$/.test(name))) return 'its download is not complete';
  if (!names.some(isWeights)) return 'it has no weights (.safetensors, or pytorch_model.bin)';
  const index = names.find((name) => /\.(safetensors|bin)\.index\.json$/.test(name));
  const shards = index === undefined ? [] : shardsIn(join(folder, index));
  const missing = shards.filter((shard) => !names.includes(shard));
  if (missing.length > 0)
    return `of its ${shards.length} files of weights ${missing.length} are not there, such as ${missing[0]}`;
  const empty = names.find((name) => isWeights(name) && statSync(join(folder, name)).size === 0);
  return empty === undefined ? '' : `${empty} is empty`;
}

function shardsIn(index: string): string[] {
  const { weight_map } = jsonIn(index) as { weight_map?: unknown };
  return [...new Set(Object.values(Object(weight_map)).filter((name) => typeof name === 'string'))];
}

function taskIn(folder: string): ModelTask {
  const { architectures } = jsonIn(join(folder, 'config.json')) as { architectures?: unknown };
  const names = Array.isArray(architectures) ? architectures.join(' ') : '';
  if (/ForSequenceClassification/.test(names)) return 'rerank';
  if (/ForCausalLM|ForConditionalGeneration/.test(names) || names === '') return 'chat';
  return 'embedding';
}

function jsonIn(path: string): object {
  try {
    return statSync(path).size > JSON_BYTES_MAX ? {} : (Object(JSON.parse(readFileSync(path, 'utf8'))) as object);
  } catch {
    return {};
  }
}

/** For questions and slugs. */
export function nameOfFolder(folder: string): string {
  return basename(folder);
}
