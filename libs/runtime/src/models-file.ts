import { basename, isAbsolute } from 'node:path';
import { ModelRoutes, type ModelsFile, modelsFileSchema, namesNotInFile, servedByGateway } from '@millrace/contracts';
import { ConfigurationError } from './configuration-error.js';
import { didYouMean } from './nearest-name.js';
import { readModelsText } from './read-models-text.js';
import { fewProblems, parseYamlFile, shortened } from './yaml-file.js';

/**
 * The list of models (`modelsFile`, usually configs/models.yaml), checked. Paths in it stay as they are written:
 * relative to the file.
 *
 * @throws ConfigurationError with a sentence for each problem, naming the file, the line and the key.
 */
export function readModelsFile(path: string): ModelsFile {
  return parseModelsFile(readModelsText(path), path);
}

/** The same of a text that was read already. @throws ConfigurationError as `readModelsFile`. */
export function parseModelsFile(text: string, path: string): ModelsFile {
  const file = parseYamlFile(text, path);
  const parsed = modelsFileSchema.safeParse(file.value ?? {});
  const problems: readonly Mistake[] = parsed.success ? unknownNames(parsed.data) : parsed.error.issues;
  if (parsed.success && problems.length === 0) return parsed.data;
  throw new ConfigurationError(
    fewProblems(path, problems, ({ path: at, message, keys: unknown = [] }) => {
      const keys = at.map((key) => (typeof key === 'symbol' ? String(key) : key));
      const line = file.lineOf([...keys, ...unknown.slice(0, 1)]);
      const where = line === undefined ? path : `${path}, line ${line}`;
      return `${where}: ${shortened(keyText(keys) + message)}. docs/reference/configuration.md explains every key.`;
    }),
  );
}

interface Mistake {
  readonly path: readonly PropertyKey[];
  readonly message: string;
  /** Those that nobody knows there. */
  readonly keys?: readonly string[];
}

export interface CheckedModelsFile {
  readonly file: ModelsFile;
  /** What may be a mistake in it, as sentences. */
  readonly doubts: readonly string[];
}

/** @throws ConfigurationError as `parseModelsFile`. */
export function checkedModelsFile(text: string, path: string): CheckedModelsFile {
  const file = parseModelsFile(text, path);
  return { file, doubts: modelsFileDoubts(file) };
}

/**
 * What a file names that it does not have. A file that lists models of workers lists all that there are, so it is a mistake; one without,
 * as gateways have whose workers have a file of their own, can't know what those serve.
 */
function unknownNames(file: ModelsFile): Mistake[] {
  if (!listsWorkersModels(file)) return [];
  const names = new ModelRoutes(file).names();
  return namesNotInFile(file).map(({ path, name }) => ({
    path,
    // Made for those that are shown: to look for the one that was meant among thousands, for thousands, takes long.
    get message() {
      return `there is no "${name}" in this file.${didYouMean(name, names)} List it under \`models\`, or name another`;
    },
  }));
}

/**
 * What may be a mistake in a file that was read, as sentences: names that only a worker can know. A request for them is refused until one
 * does.
 */
export function modelsFileDoubts(file: ModelsFile): readonly string[] {
  if (listsWorkersModels(file)) return [];
  const names = new ModelRoutes(file).names();
  const unknown = new Map(namesNotInFile(file).map(({ path, name }) => [name, keyText(path)]));
  const shown = [...unknown]
    .slice(0, DOUBTS_SHOWN_MAX)
    .map(
      ([name, key]) =>
        `${key}there is no "${name}" in the models file, so only a worker can have it.${didYouMean(name, names)} Until one does, it is passed over.`,
    );
  const more = unknown.size - DOUBTS_SHOWN_MAX;
  return more > 0 ? [...shown, `${more} more names in it only a worker can have.`] : shown;
}

const DOUBTS_SHOWN_MAX = 50;

function listsWorkersModels({ models }: ModelsFile): boolean {
  return models.some((model) => !servedByGateway(model));
}

const MODEL_FILE_ENDING = /\.gguf$/i;

/** Whether the setting `model` names a file rather than an entry of the models file. */
export function namesFile(model: string): boolean {
  return MODEL_FILE_ENDING.test(model) || isAbsolute(model) || /^\.{1,2}[\\/]/.test(model);
}

/** How a model is called that has no entry: by its file, without `.gguf`. */
export function modelNameOf(path: string): string {
  return basename(path).replace(MODEL_FILE_ENDING, '');
}

/** `['models', 0, 'id']` → `models[0].id: `. */
function keyText(keys: readonly (string | number)[]): string {
  if (keys.length === 0) return '';
  const text = keys.map((key) => (typeof key === 'number' ? `[${key}]` : `.${key}`)).join('');
  return `${text.replace(/^\./, '')}: `;
}
