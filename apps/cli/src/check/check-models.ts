import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { ModelsFile, Settings } from '@millrace/contracts';
import { ConfigurationError, didYouMean, namesFile, readModelsFile } from '@millrace/runtime';
import { type Finding, fine, wrong } from './finding.js';
import { readGgufHeader } from './gguf-header.js';

interface ModelFile {
  readonly about: string;
  readonly path: string;
  readonly sha256: string | undefined;
}

/** The models file, and each model's file: there, readable, and what it claims to be. */
export async function checkModels(settings: Settings, workingFolder: string): Promise<Finding[]> {
  const modelsFile = resolve(workingFolder, settings.modelsFile);
  // As the worker does it: one's own model needs no list.
  const needsList = settings.model === undefined || !namesFile(settings.model) || existsSync(modelsFile);
  const { findings, listed } = needsList ? readList(modelsFile) : { findings: [], listed: undefined };
  const files = (listed?.models ?? []).flatMap(({ id, engine, path, sha256 }) => {
    if (engine !== 'llama.cpp' || path === undefined) return [];
    return [{ about: `model ${id}`, path: resolve(dirname(modelsFile), path), sha256 }];
  });
  const chosen = chosenFile(settings.model, listed, workingFolder);
  if (chosen !== undefined && 'ok' in chosen) findings.push(chosen);
  else if (chosen !== undefined) files.push(chosen);
  for (const file of files) findings.push(await checkModelFile(file));
  return findings;
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
): ModelFile | Finding | undefined {
  if (model === undefined) return undefined;
  if (namesFile(model)) return { about: `model ${model}`, path: resolve(workingFolder, model), sha256: undefined };
  const names = (listed?.models ?? []).flatMap(({ id, aliases }) => [id, ...aliases]);
  if (names.includes(model)) return undefined;
  const detail = `is neither the path of a .gguf file nor a model of the models file.${didYouMean(model, names)}`;
  return wrong(`model ${model}`, detail, `Use one of ${names.join(', ') || '(none)'}, or a path that ends in .gguf.`);
}

async function checkModelFile({ about, path, sha256 }: ModelFile): Promise<Finding> {
  try {
    const { size: bytes } = await stat(path);
    const header = await readGgufHeader(path);
    if (typeof header === 'string') {
      return wrong(about, `${path} is no GGUF model: ${header}.`, 'Fetch the file again, or name another.');
    }
    if (sha256 !== undefined) {
      const found = await digestOf(path);
      if (found !== sha256) {
        const detail = `${path} has the digest ${found}, and the models file says ${sha256}.`;
        return wrong(about, detail, 'Fetch the file again, or correct `sha256`.');
      }
    }
    const digest = sha256 === undefined ? 'no sha256 to compare' : 'sha256 as expected';
    return fine(about, `${path}: GGUF version ${header.version}, ${megabytes(bytes)}, ${digest}`);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    return wrong(about, `${path} cannot be read (${code}).`, 'Put the file there, or correct the path.');
  }
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toLocaleString('en-US', { maximumFractionDigits: 1 })} MB`;
}
