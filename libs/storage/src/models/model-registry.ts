import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { isAbsolute, join, resolve } from 'node:path';
import { randomHex } from '@millrace/runtime';
import { FileLock } from './file-lock.js';
import { checkModelId } from './model-id.js';
import { codeOf, ModelProblem } from './model-problem.js';
import { type Registry, type RegistryEntry, registrySchema } from './registry-entry.js';

const FILE_NAME = 'registry.json';
/** Some ten thousand models. */
const FILE_BYTES_MAX = 16 * 1024 * 1024;
/** Whoever changes it does nothing else meanwhile. */
const LOCK_WAIT_MS_MAX = 30_000;
const PROBLEMS_SHOWN_MAX = 5;

const EMPTY: Registry = { version: 1, models: {} };

/**
 * The models that this machine knows: `registry.json` in the folder of models.
 *
 * Several processes may use it: whoever changes it has a lock meanwhile, and replaces the whole file, so that who reads has all of one
 * version. It is read again whenever it has become another; people may edit it.
 */
export class ModelRegistry {
  readonly path: string;
  #read: { readonly stamp: string; readonly registry: Registry } | undefined;

  /** @param folder absolute. Made when something is added. */
  constructor(readonly folder: string) {
    this.path = join(folder, FILE_NAME);
  }

  /** By id. @throws ModelProblem `registry`, which says where a person broke it. */
  async models(): Promise<ReadonlyMap<string, RegistryEntry>> {
    return new Map(Object.entries((await this.#registry()).models));
  }

  async find(id: string): Promise<RegistryEntry | undefined> {
    checkModelId(id);
    return (await this.models()).get(id);
  }

  /** Where a model's file or folder is. */
  pathOf({ path }: Pick<RegistryEntry, 'path'>): string {
    return isAbsolute(path) ? path : resolve(this.folder, path);
  }

  /** @throws ModelProblem `exists` where there is one of this id, or of one that differs only in its case. */
  async add(id: string, entry: RegistryEntry, signal: AbortSignal, { replace = false } = {}): Promise<void> {
    checkModelId(id);
    await this.#change(signal, (models) => {
      refuseTaken(id, Object.keys(models), replace);
      models[id] = entry;
    });
  }

  /** What was there; undefined: nothing. */
  async remove(id: string, signal: AbortSignal): Promise<RegistryEntry | undefined> {
    checkModelId(id);
    if (!(await this.models()).has(id)) return undefined;
    return this.#change(signal, (models) => {
      const entry = models[id];
      delete models[id];
      return entry;
    });
  }

  async #change<T>(signal: AbortSignal, change: (models: Registry['models']) => T): Promise<T> {
    await mkdir(this.folder, { recursive: true }).catch((error: unknown) => {
      throw unusable(this.folder, error);
    });
    using _lock = await FileLock.exclusive(join(this.folder, '.locks', 'registry'), signal, {
      waitMsMax: LOCK_WAIT_MS_MAX,
    });
    // What was read before may be of before another's change.
    const registry = structuredClone(await this.#registry());
    const result = change(registry.models);
    await this.#write(registry);
    return result;
  }

  async #registry(): Promise<Registry> {
    const stamp = await stampOf(this.path);
    if (stamp === undefined) return EMPTY;
    if (this.#read?.stamp !== stamp) this.#read = { stamp, registry: await readRegistry(this.path) };
    return this.#read.registry;
  }

  /** Whole or not at all, and on the disk before it is in its place. */
  async #write(registry: Registry): Promise<void> {
    const part = join(this.folder, `.${FILE_NAME}.${randomHex(8)}.part`);
    try {
      const file = await open(part, 'wx', 0o644);
      try {
        await file.writeFile(`${JSON.stringify(registry, null, 2)}\n`);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(part, this.path);
      const folder = await open(this.folder, 'r');
      await folder.sync().finally(() => folder.close());
    } catch (error) {
      await rm(part, { force: true }).catch(() => {});
      throw unusable(this.path, error);
    } finally {
      this.#read = undefined;
    }
  }
}

function refuseTaken(id: string, ids: readonly string[], replace: boolean): void {
  const taken = ids.find((other) => other.toLowerCase() === id.toLowerCase());
  if (taken === undefined || (replace && taken === id)) return;
  const remedy = taken === id ? 'Choose another id, or give --replace' : 'Some file systems take them for the same';
  throw new ModelProblem('exists', `There is a model ${taken} in the registry already. ${remedy}.`);
}

async function stampOf(path: string): Promise<string | undefined> {
  try {
    const { size, mtimeNs, ino } = await stat(path, { bigint: true });
    return `${size} ${mtimeNs} ${ino}`;
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(codeOf(error))) return undefined;
    throw unusable(path, error);
  }
}

async function readRegistry(path: string): Promise<Registry> {
  let text: string;
  try {
    const { size } = await stat(path);
    if (size > FILE_BYTES_MAX)
      throw broken(
        path,
        `it has ${size.toLocaleString('en-US')} bytes; at most ${FILE_BYTES_MAX.toLocaleString('en-US')} make sense`,
      );
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw error instanceof ModelProblem ? error : unusable(path, error);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw broken(path, `it is no JSON: ${(error as Error).message}`, error);
  }
  const parsed = registrySchema.safeParse(value);
  if (!parsed.success) throw broken(path, sentencesOf(parsed.error.issues));
  for (const id of Object.keys(parsed.data.models)) {
    try {
      checkModelId(id);
    } catch (error) {
      throw broken(path, (error as Error).message.replace(/ Choose another.*$/, ''));
    }
  }
  return parsed.data;
}

function sentencesOf(issues: readonly { readonly path: readonly PropertyKey[]; readonly message: string }[]): string {
  const shown = issues.slice(0, PROBLEMS_SHOWN_MAX).map(({ path, message }) => `${path.join('.') || 'it'}: ${message}`);
  const more = issues.length - shown.length;
  return `${shown.join('; ')}${more > 0 ? `; and ${more} more` : ''}`;
}

function broken(path: string, why: string, cause?: unknown): ModelProblem {
  return new ModelProblem(
    'registry',
    `${path} can't be used: ${why.replace(/\.$/, '')}. Correct it, or move it away and add the models again.`,
    { cause },
  );
}

function unusable(path: string, error: unknown): ModelProblem {
  if (['ENOSPC', 'EDQUOT'].includes(codeOf(error)))
    return new ModelProblem('full', `The disk of ${path} is full. Remove something there.`, { cause: error });
  return new ModelProblem(
    'unavailable',
    `${path} can't be used (${codeOf(error)}). Check who may read and write there.`,
    {
      cause: error,
    },
  );
}
