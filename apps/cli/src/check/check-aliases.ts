import { ModelRoutes, type ModelsFile } from '@millrace/contracts';
import { type Finding, fine } from './finding.js';

/** What each alias stands for, so that one can see it without a request. That it leads somewhere, the file's own check has seen to. */
export function checkAliases(file: ModelsFile): Finding[] {
  const routes = new ModelRoutes(file);
  return file.aliases.map(({ name, targets }) => {
    const { fallbacks } = routes.stepsOf(name);
    const shares = targets.map(({ model, weight }) => (targets.length === 1 ? model : `${model} (weight ${weight})`));
    const unknown = [...targets.map(({ model }) => model), ...fallbacks].filter((model) => !routes.has(model));
    const then = fallbacks.length === 0 ? '' : `, else ${fallbacks.join(', then ')}`;
    const asked = unknown.length === 0 ? '' : `; not of this file, and so for a worker to know: ${unknown.join(', ')}`;
    return fine(`alias ${name}`, `stands for ${shares.join(', ')}${then}${asked}`);
  });
}
