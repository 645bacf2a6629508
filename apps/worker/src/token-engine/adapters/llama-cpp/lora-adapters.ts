import { stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { readGgufFileInfo } from 'node-llama-cpp';
import type { Addon, AddonLora, AddonModel } from './addon.js';
import { type EngineLogger, type GpuChoice, llamaFor } from './llama-instance.js';
import { withComplaints } from './load-model.js';
import type { ModelFile } from './read-model-file.js';

/** A LoRA adapter: what it says is added to the weights, as far as `scale` goes. */
export interface LoraAdapter {
  /** A `.gguf` file. */
  readonly path: string;
  /** 1: as it was trained. 0: not at all. */
  readonly scale: number;
}

/** What an adapter's file says of itself, without loading it. */
export interface LoraFile {
  readonly path: string;
  /** Of the model that it is for. */
  readonly architecture: string;
  /** About what it takes in memory, beside the model. */
  readonly bytes: number;
}

/** @throws Error in one sentence when the file is missing, no GGUF, or no LoRA adapter. */
export async function readLoraFile(path: string): Promise<LoraFile> {
  const file = await stat(path).catch((cause: unknown) => {
    throw new Error(`The LoRA adapter ${path} can't be read. Check the path.`, { cause });
  });
  const general = file.isFile() ? await readGeneral(path) : {};
  if (general.type !== 'adapter') {
    throw new Error(`${path} is no LoRA adapter, which says so in its header. Convert it to GGUF as an adapter.`);
  }
  return { path, architecture: general.architecture ?? '', bytes: file.size };
}

interface General {
  readonly type?: string;
  readonly architecture?: string;
}

async function readGeneral(path: string): Promise<General> {
  try {
    const info = await readGgufFileInfo(path, { sourceType: 'filesystem', logWarnings: false, readTensorInfo: false });
    return info.metadata.general as General;
  } catch (cause) {
    throw new Error(`${path} is no GGUF file. LoRA adapters are read in that format only.`, { cause });
  }
}

/** What the adapters are loaded for. */
export interface LoraTarget {
  readonly addon: Addon;
  readonly model: AddonModel;
  readonly file: ModelFile;
  readonly gpu: GpuChoice;
  readonly logger: EngineLogger;
}

/**
 * Loads adapters for a model, which frees them with itself. To be called before a context is made, which leaves room for
 * them in its graph; they count once the context is told of them.
 *
 * @throws Error in one sentence when one is missing, broken, or made for another model.
 */
export async function loadLoras(adapters: readonly LoraAdapter[], target: LoraTarget): Promise<readonly AddonLora[]> {
  const loras: AddonLora[] = [];
  for (const { path } of adapters) loras.push(await loadLora(path, target));
  return loras;
}

async function loadLora(path: string, { addon, model, file, gpu, logger }: LoraTarget): Promise<AddonLora> {
  const { architecture } = await readLoraFile(path);
  if (architecture !== file.architecture) {
    throw doesNotFit(path, file, `it is for the architecture "${architecture}", the model is "${file.architecture}"`);
  }
  const complaints: string[] = [];
  await llamaFor(gpu, withComplaints(logger, complaints));
  try {
    const lora = new addon.AddonModelLora(model, path);
    await model.loadLora(lora);
    return lora;
  } catch (cause) {
    await sleep(50); // The log lines come from another thread, a little later than the failure.
    throw doesNotFit(path, file, reasonOf(complaints) ?? String(cause), cause);
  } finally {
    await llamaFor(gpu, logger);
  }
}

/** Without the name of llama.cpp's function. */
function reasonOf([complaint]: readonly string[]): string | undefined {
  return complaint?.replace(/^[a-z_]+: (?:failed to apply lora adapter: )?/, '').trim();
}

function doesNotFit(path: string, file: ModelFile, why: string, cause?: unknown): Error {
  return new Error(`The LoRA adapter ${path} can't be used with ${file.path}: ${why}. Choose one for this model.`, {
    cause,
  });
}
