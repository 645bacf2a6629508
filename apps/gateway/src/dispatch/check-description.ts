import type { ModelDescription, WorkerDescription } from '@millrace/contracts/protocol';

/** Of one worker. A models file has a few; each of these is kept, listed and looked through. */
const MODELS_MAX = 1_000;
const ALIASES_MAX = 100;
const CAPABILITIES_MAX = 16;
const NAME_CHARACTERS_MAX = 500;

/** What is wrong with what a worker says of itself, as a clause that follows `the worker`; undefined if nothing is. */
export function faultOf({ models, version, workerId }: WorkerDescription): string | undefined {
  if (models.length > MODELS_MAX) return `describes ${count(models.length)} models; ${count(MODELS_MAX)} are the most`;
  const longest = Math.max(version.length, workerId.length);
  if (longest > NAME_CHARACTERS_MAX) return `has a name or version of ${count(longest)} characters`;
  for (const model of models) {
    const fault = faultOfModel(model);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function faultOfModel({ id, aliases, capabilities, engine }: ModelDescription): string | undefined {
  if (id === '') return 'describes a model without an id';
  const shown = `\`${id.slice(0, 50).toWellFormed()}${id.length > 50 ? '…' : ''}\``;
  if (aliases.length > ALIASES_MAX) {
    return `describes ${shown} with ${count(aliases.length)} aliases; ${ALIASES_MAX} are the most`;
  }
  if (capabilities.length > CAPABILITIES_MAX) {
    return `describes ${shown} with ${count(capabilities.length)} capabilities; ${CAPABILITIES_MAX} are the most`;
  }
  const longest = Math.max(id.length, engine.length, ...[...aliases, ...capabilities].map(({ length }) => length));
  if (longest > NAME_CHARACTERS_MAX) {
    return `describes ${shown} with a name of ${count(longest)} characters; ${NAME_CHARACTERS_MAX} are the most`;
  }
  return undefined;
}

function count(number: number): string {
  return number.toLocaleString('en');
}
