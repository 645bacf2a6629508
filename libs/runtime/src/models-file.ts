import { basename, isAbsolute } from 'node:path';
import { type ModelsFile, modelsFileSchema } from '@millrace/contracts';
import { ConfigurationError } from './configuration-error.js';
import { parseYamlFile, readYamlFile, type YamlFile } from './yaml-file.js';

/**
 * The list of models (`modelsFile`, usually configs/models.yaml), checked. Paths in it stay as they are written:
 * relative to the file.
 *
 * @throws ConfigurationError with a sentence for each problem, naming the file, the line and the key.
 */
export function readModelsFile(path: string): ModelsFile {
  return modelsFileOf(readYamlFile(path), path);
}

/** The same of a text that was read already. @throws ConfigurationError as `readModelsFile`. */
export function parseModelsFile(text: string, path: string): ModelsFile {
  return modelsFileOf(parseYamlFile(text, path), path);
}

function modelsFileOf(file: YamlFile, path: string): ModelsFile {
  const parsed = modelsFileSchema.safeParse(file.value ?? {});
  if (parsed.success) return parsed.data;
  throw new ConfigurationError(
    parsed.error.issues.map((issue) => {
      const keys = issue.path.map((key) => (typeof key === 'symbol' ? String(key) : key));
      const line = file.lineOf(keys);
      const where = line === undefined ? path : `${path}, line ${line}`;
      return `${where}: ${keyText(keys)}${issue.message}. docs/reference/configuration.md explains every key.`;
    }),
  );
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
