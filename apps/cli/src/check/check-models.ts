import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import {
  type ModelEntry,
  type ModelsFile,
  type Settings,
  servedByGateway,
  type UpstreamEntry,
} from '@millrace/contracts';
import { PRESETS } from '@millrace/openai-engine';
import {
  ConfigurationError,
  didYouMean,
  GgufDamage,
  type GgufLayout,
  ggufParts,
  namesFile,
  readGgufLayout,
  readModelsFile,
} from '@millrace/runtime';
import { checkAliases } from './check-aliases.js';
import { checkProviders } from './check-providers.js';
import { type CheckedRegistry, checkRegistry } from './check-registry.js';
import { type Finding, fine, wrong } from './finding.js';

interface ModelFile {
  readonly about: string;
  readonly path: string;
  readonly sha256: string | undefined;
  /** LoRA adapters that are applied to it. */
  readonly adapters: readonly string[];
}

/**
 * The models file, and each model: its file is there and what it claims to be, or its server is known and has a key, or its provider
 * answers. And what aliases stand for.
 */
export async function checkModels(
  settings: Settings,
  workingFolder: string,
  environment: NodeJS.ProcessEnv,
): Promise<Finding[]> {
  const modelsFile = resolve(workingFolder, settings.modelsFile);
  // As the worker does it: one's own model needs no list.
  const needsList = settings.model === undefined || !namesFile(settings.model) || existsSync(modelsFile);
  const { findings, listed } = needsList ? readList(modelsFile) : { findings: [], listed: undefined };
  const registry = await checkRegistry(settings, environment);
  for (const entry of listed?.models ?? []) {
    const isFile = entry.registry === undefined;
    findings.push(
      isFile ? await checkEntry(entry, dirname(modelsFile), environment) : checkRegistered(entry, registry),
    );
  }
  findings.push(...registry.findings);
  if (listed !== undefined) {
    findings.push(...checkAliases(listed), ...(await checkProviders(listed, settings, environment)));
  }
  const chosen = chosenFile(settings.model, listed, workingFolder, registry);
  if (chosen !== undefined) findings.push('ok' in chosen ? chosen : await checkModelFile(chosen));
  return findings;
}

/** An entry that is valid has what its engine needs. */
async function checkEntry(entry: ModelEntry, folder: string, environment: NodeJS.ProcessEnv): Promise<Finding> {
  const { id, engine, sha256, lora } = entry;
  const about = `model ${id}`;
  switch (engine) {
    case 'llama.cpp': {
      const adapters = lora.map(({ path }) => resolve(folder, path));
      return checkModelFile({ about, path: resolve(folder, entry.path!), sha256, adapters });
    }
    case 'openvino':
      return checkOpenVino(about, resolve(folder, entry.path!));
    case 'openai-compatible':
      return servedByGateway(entry) ? atProvider(about, entry) : checkUpstream(about, entry.upstream!, environment);
  }
}

function checkRegistered({ id, registry: name = '' }: ModelEntry, { models }: CheckedRegistry): Finding {
  const found = models.get(name);
  if (found !== undefined)
    return fine(`model ${id}`, `${name} of the ${found.where === 'bucket' ? 'bucket' : 'registry'}`);
  const detail = `names the model ${name} of the registry, which is not there.${didYouMean(name, [...models.keys()])}`;
  return wrong(`model ${id}`, detail, `Add it: millrace models add SOURCE --id ${name}`);
}

function readList(path: string): { findings: Finding[]; listed: ModelsFile | undefined } {
  try {
    const listed = readModelsFile(path);
    const count = listed.models.length === 1 ? '1 model' : `${listed.models.length} models`;
    return { findings: [fine('models file', `${path}: ${count}`)], listed };
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    const findings = error.problems.map((problem) => wrong('models file', problem, 'Correct the file.'));
    return { findings, listed: undefined };
  }
}

/** What the setting `model` adds to the list: a file of its own, a complaint, or nothing. */
function chosenFile(
  model: string | undefined,
  listed: ModelsFile | undefined,
  workingFolder: string,
  { models: registered }: CheckedRegistry,
): ModelFile | Finding | undefined {
  if (model === undefined || registered.has(model)) return undefined;
  if (namesFile(model))
    return { about: `model ${model}`, path: resolve(workingFolder, model), sha256: undefined, adapters: [] };
  const names = (listed?.models ?? []).flatMap(({ id, aliases }) => [id, ...aliases]);
  if (names.includes(model)) return undefined;
  const detail = `is neither the path of a .gguf file nor a model of the models file.${didYouMean(model, names)}`;
  return wrong(`model ${model}`, detail, `Use one of ${names.join(', ') || '(none)'}, or a path that ends in .gguf.`);
}

async function checkModelFile({ about, path, sha256, adapters }: ModelFile): Promise<Finding> {
  const files = [...ggufParts(path), ...adapters];
  const layouts: GgufLayout[] = [];
  for (const file of files) {
    const looked = await lookAt(about, file);
    if ('ok' in looked) return looked;
    layouts.push(looked);
  }
  if (sha256 !== undefined) {
    const found = await digestOf(path);
    if (found !== sha256) {
      const detail = `${path} has the digest ${found}, and the models file says ${sha256}.`;
      return wrong(about, detail, 'Fetch the file again, or correct `sha256`.');
    }
  }
  const bytes = layouts.reduce((sum, { fileBytes }) => sum + fileBytes, 0);
  const count = files.length === 1 ? '' : ` in ${files.length} files`;
  const digest = sha256 === undefined ? 'no sha256 to compare' : 'sha256 as expected';
  return fine(about, `${path}: GGUF version ${layouts[0]!.version}, ${megabytes(bytes)}${count}, ${digest}`);
}

/** Whether the file is whole, as far as that can be seen from its beginning and its length. */
async function lookAt(about: string, path: string): Promise<GgufLayout | Finding> {
  try {
    return await readGgufLayout(path);
  } catch (error) {
    if (error instanceof GgufDamage) {
      const what = error.truncated ? 'is cut short' : 'is no GGUF model';
      return wrong(about, `${path} ${what}: ${error.message}.`, 'Fetch the file again, or name another.');
    }
    return unreadable(about, path, error);
  }
}

/** What is inside is OpenVINO's affair; a folder of another kind is seen by its names. */
async function checkOpenVino(about: string, path: string): Promise<Finding> {
  try {
    const names = (await stat(path)).isFile() ? [path] : await readdir(path);
    const isModel = names.some((name) => /\.(xml|gguf)$/i.test(name));
    if (isModel) return fine(about, `${path}: for OpenVINO`);
    return wrong(
      about,
      `${path} has neither a model of OpenVINO (.xml) nor a .gguf file.`,
      'Convert the model (docs/reference/engines.md), or correct the path.',
    );
  } catch (error) {
    return unreadable(about, path, error);
  }
}

/** Its provider has a line of its own. */
function atProvider(about: string, { id, upstream }: ModelEntry): Finding {
  const { preset, model = id } = upstream!;
  return fine(about, `${model} of ${preset}, served by the gateway itself`);
}

/** Whether its key is there; the key itself is never shown, and the server is asked by the worker alone. */
function checkUpstream(about: string, upstream: UpstreamEntry, environment: NodeJS.ProcessEnv): Finding {
  const preset = PRESETS[upstream.preset];
  const url = upstream.url ?? preset.url;
  if (url === undefined) {
    return wrong(about, `preset ${upstream.preset} has no address of its own.`, 'Give it `upstream.url`.');
  }
  const server = `${upstream.preset} at ${url}`;
  const name = upstream.apiKeyEnv ?? preset.keyEnv;
  const isSet = name !== undefined && (environment[name] ?? '').trim() !== '';
  if (isSet) return fine(about, `${server}; its key is in ${name}`);
  if (name === undefined || (preset.needsKey !== true && upstream.apiKeyEnv === undefined)) {
    return fine(about, `${server}, without a key`);
  }
  return wrong(about, `${server} needs a key, and ${name} is not set here.`, `Put the key into ${name}.`);
}

function unreadable(about: string, path: string, error: unknown): Finding {
  const code = (error as NodeJS.ErrnoException).code ?? String(error);
  return wrong(about, `${path} cannot be read (${code}).`, 'Put the file there, or correct the path.');
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toLocaleString('en-US', { maximumFractionDigits: 1 })} MB`;
}
