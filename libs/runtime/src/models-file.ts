import { type ModelsFile, modelsFileSchema } from '@millrace/contracts';
import { ConfigurationError } from './configuration-error.js';
import { readYamlFile } from './yaml-file.js';

/**
 * The list of models (`modelsFile`, usually configs/models.yaml), checked. Paths in it stay as they are written:
 * relative to the file.
 *
 * @throws ConfigurationError with a sentence for each problem, naming the file, the line and the key.
 */
export function readModelsFile(path: string): ModelsFile {
  const file = readYamlFile(path);
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

/** `['models', 0, 'id']` → `models[0].id: `. */
function keyText(keys: readonly (string | number)[]): string {
  if (keys.length === 0) return '';
  const text = keys.map((key) => (typeof key === 'number' ? `[${key}]` : `.${key}`)).join('');
  return `${text.replace(/^\./, '')}: `;
}
