import { ModelProblem } from './model-problem.js';

export const MODEL_ID_CHARACTERS_MAX = 100;
const MODEL_ID = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;
/** What lies beside the models in their folder and in the bucket. */
const TAKEN: ReadonlySet<string> = new Set(['registry.json']);

/** An id is the name of a folder, here and in a bucket, and comes from anybody: nothing in it leads anywhere else. */
export function isModelId(id: string): boolean {
  const isId = id.length <= MODEL_ID_CHARACTERS_MAX && MODEL_ID.test(id) && !id.includes('..') && !id.endsWith('.');
  return isId && !TAKEN.has(id.toLowerCase());
}

/** @throws ModelProblem */
export function checkModelId(id: string): void {
  if (isModelId(id)) return;
  throw new ModelProblem(
    'invalid',
    `${JSON.stringify(id.slice(0, 120))} can't be the id of a model: it takes up to ${MODEL_ID_CHARACTERS_MAX} letters, digits, ".", "_" and "-", begins with a letter or digit, and holds no "..". Choose another with --id.`,
  );
}

/** An id made of any name: what it can't hold becomes a "-". Undefined: nothing is left of it. */
export function modelIdOf(name: string): string | undefined {
  const id = name
    .normalize('NFKD')
    .replace(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/\.{2,}/g, '.')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, MODEL_ID_CHARACTERS_MAX)
    .replace(/[.-]+$/, '')
    .toLowerCase();
  return id === '' || TAKEN.has(id) ? undefined : id;
}
