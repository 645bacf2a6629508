import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Settings } from '@millrace/contracts';
import type { Logger } from '@millrace/runtime';
import type { OpenVinoModel } from '../models/choose-model.js';
import type { LibraryModel, LookedAt, OpenTerms } from '../models/library-model.js';
import { openOpenVino } from '../openvino/open-openvino.js';
import { stampOf } from './stamp-of.js';

/**
 * What the program takes beside the weights, roughly: Python, OpenVINO and a small cache. It says none of this before it
 * runs, so a plan can't be better; what is really free is looked at as well before anything is loaded.
 */
const PROGRAM_BYTES = 768 * 1024 * 1024;
/** A model's folder has some twenty files. */
const FILES_MAX = 1_000;

export interface OpenVinoParts {
  readonly settings: Settings;
  readonly environment: NodeJS.ProcessEnv;
  readonly logger: Logger;
}

/** A model that OpenVINO runs in a program of its own, which the worker starts. */
export function openVinoModel(model: OpenVinoModel, parts: OpenVinoParts): LibraryModel {
  const { id, aliases, isDefault, loadsAtStart, idleUnloadMs } = model;
  return {
    id,
    aliases,
    isDefault,
    loadsAtStart,
    idleUnloadMs,
    isElsewhere: false,
    stamp: async () => stampOf(await filesOf(model).catch(() => [model.path])),
    look: () => look(model, parts),
  };
}

async function look(model: OpenVinoModel, { settings, environment, logger }: OpenVinoParts): Promise<LookedAt> {
  const { id, aliases, isDefault, path, device, context, sampling, maxTokens } = model;
  const files = await Promise.all((await filesOf(model)).map((file) => stat(file)));
  const described = {
    id,
    aliases,
    isDefault,
    contextLength: context ?? 0,
    capabilities: ['chat', 'completion'] as const,
    created: Math.floor(Math.max(...files.map(({ mtimeMs }) => mtimeMs)) / 1000),
    samplingDefaults: sampling,
    maxTokensDefault: maxTokens,
  };
  const { python, threads, maxBatchSize: sequencesMax, queueMax, requestTimeoutMs, backgroundTimeoutMs } = settings;
  const open = ({ report, onBroken, signal }: OpenTerms) =>
    openOpenVino(
      {
        model: described,
        path,
        device,
        python,
        threads,
        limits: { sequencesMax, queueMax, requestTimeoutMs, backgroundTimeoutMs },
        environment,
        logger,
        report,
        // It is another process: ours is sound, whatever happened there.
        onBroken: (error) => onBroken(error, true),
      },
      signal,
    );
  const weightsBytes = files.reduce((sum, { size }) => sum + size, 0);
  return { description: { ...described, engine: 'openvino' }, bytes: weightsBytes + PROGRAM_BYTES, open };
}

/** The files of the folder, or the one file that the path is. @throws Error in one sentence. */
async function filesOf({ path }: OpenVinoModel): Promise<readonly string[]> {
  try {
    if ((await stat(path)).isFile()) return [path];
    const entries = await readdir(path, { withFileTypes: true });
    const files = entries.filter((entry) => entry.isFile()).slice(0, FILES_MAX);
    if (files.length > 0) return files.map(({ name }) => join(path, name));
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new Error(`The OpenVINO model ${path} can't be read (${code}). Check the path.`, { cause });
  }
  throw new Error(`The folder ${path} has no files, so it is no OpenVINO model. Check the path.`);
}
