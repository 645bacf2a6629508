import type { Caller } from '../vocabulary.js';

/** Whether a caller may use a model: by its id, by one of its aliases, or by the beginning of either. */
export function mayUse(
  { models }: Pick<Caller, 'models'>,
  model: { readonly id: string; readonly aliases: readonly string[] },
): boolean {
  if (models === undefined) return true;
  const names = [model.id, ...model.aliases];
  return models.some((allowed) => names.some((name) => matches(allowed, name)));
}

function matches(allowed: string, name: string): boolean {
  return allowed.endsWith('*') ? name.startsWith(allowed.slice(0, -1)) : name === allowed;
}
