import type { AliasEntry, ModelEntry, ModelsFile } from './models-file.js';

/** The longest chain of models that one request may be handed on along, behind the first. */
export const FALLBACKS_MAX = 8;

/**
 * A number from 0 to 1, both excluded, for a target of an alias. Drawn anew, each target comes first as often as its weight says; made
 * from what a conversation begins with, each conversation stays with its target.
 */
export type Chance = (alias: string, target: string) => number;

/** The heaviest first, as in the file among equals: what a route looks like to whoever only wants to see it. */
export const HEAVIEST_FIRST: Chance = () => 0.5;

type Named =
  | { readonly kind: 'model'; readonly id: string; readonly fallbacks: readonly string[] }
  | ({ readonly kind: 'alias'; readonly id: string } & Pick<AliasEntry, 'targets' | 'fallbacks'>);

/**
 * What the names in a models file stand for. Made once for a file.
 *
 * A request goes to one of what its name stands for; where that one does not answer, to the others by weight; then to the fallbacks of the
 * name, then to those of what it stands for, in their order; then to theirs. Nothing is asked twice, so that two models may each stand in
 * for the other.
 */
export class ModelRoutes {
  readonly #named = new Map<string, Named>();

  constructor({ models, aliases }: ModelsFile) {
    for (const { name: id, targets, fallbacks } of aliases) {
      this.#named.set(id, { kind: 'alias', id, targets, fallbacks });
    }
    for (const model of models) {
      const named: Named = { kind: 'model', id: model.id, fallbacks: model.fallbacks };
      for (const name of [...model.aliases, model.id]) this.#named.set(name, named);
    }
  }

  /** All names in the file: ids, further names, and aliases. */
  names(): readonly string[] {
    return [...this.#named.keys()];
  }

  has(name: string): boolean {
    return this.#named.has(name);
  }

  isAlias(name: string): boolean {
    return this.#named.get(name)?.kind === 'alias';
  }

  /** The id of the model that a name of the file stands for; undefined for an alias, and for what the file does not have. */
  modelOf(name: string): string | undefined {
    const named = this.#named.get(name);
    return named?.kind === 'model' ? named.id : undefined;
  }

  /**
   * Models by id, the first choice first, each once; a name that the file does not have stands for itself, since a worker may know it.
   *
   * @param modelsMax of a file without mistakes no route is longer.
   */
  of(name: string, chance: Chance, modelsMax = 1 + FALLBACKS_MAX): readonly string[] {
    const named = this.#named.get(name);
    if (named === undefined) return [name];
    if (named.kind === 'model' && named.fallbacks.length === 0) return [named.id];
    return this.#walk(name, chance, modelsMax);
  }

  /** The models that a name stands for, by id, without those that only stand in; the heaviest first. */
  targetsOf(name: string): readonly string[] {
    const models = new Set<string>();
    const seen = new Set<string>();
    const expand = (one: string): void => {
      const named = this.#named.get(one);
      const id = named?.id ?? one;
      if (seen.has(id)) return;
      seen.add(id);
      if (named?.kind === 'alias') for (const target of inOrder(named, HEAVIEST_FIRST)) expand(target);
      else models.add(id);
    };
    expand(name);
    return [...models];
  }

  /** What a name leads to at once: `targets` stand for it, `fallbacks` come after them. */
  stepsOf(name: string): { readonly targets: readonly string[]; readonly fallbacks: readonly string[] } {
    const named = this.#named.get(name);
    if (named === undefined) return { targets: [], fallbacks: [] };
    const targets = named.kind === 'alias' ? named.targets.map(({ model }) => this.canonical(model)) : [];
    return { targets, fallbacks: named.fallbacks.map((fallback) => this.canonical(fallback)) };
  }

  /** One name for each thing: a model's id for its further names. */
  canonical(name: string): string {
    return this.#named.get(name)?.id ?? name;
  }

  #walk(name: string, chance: Chance, modelsMax: number): readonly string[] {
    const models = new Set<string>();
    const seen = new Set<string>();
    const next = [name];
    const expand = (one: string): void => {
      const named = this.#named.get(one);
      const id = named?.id ?? one;
      if (seen.has(id) || models.size >= modelsMax) return;
      seen.add(id);
      if (named?.kind !== 'alias') models.add(id);
      if (named === undefined) return;
      next.push(...named.fallbacks);
      if (named.kind === 'alias') for (const target of inOrder(named, chance)) expand(target);
    };
    // Grows while it is walked: what is reached first brings its fallbacks behind those that wait already.
    for (const one of next) {
      if (models.size >= modelsMax) break;
      expand(one);
    }
    return [...models];
  }
}

/**
 * A race: each target needs a time that is shorter the heavier it is. Who wins, wins as often as its weight says, and a weight that is
 * changed turns only as many requests as it must, all of them to or from that target.
 */
function inOrder({ id, targets }: Extract<Named, { kind: 'alias' }>, chance: Chance): readonly string[] {
  if (targets.length === 1) return [targets[0]!.model];
  return targets
    .map(({ model, weight }) => ({ model, time: weight === 0 ? Infinity : -Math.log(chance(id, model)) / weight }))
    .sort((a, b) => (a.time === b.time ? 0 : a.time - b.time))
    .map(({ model }) => model);
}

/** What is wrong with a file beyond its shape: where, and a sentence without its end. */
export interface FileProblem {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

/** Names that are taken twice, aliases that point at each other, and routes that are too long. */
export function routeProblems(file: ModelsFile): FileProblem[] {
  const taken = namesTakenTwice(file);
  if (taken.length > 0) return taken;
  const routes = new ModelRoutes(file);
  const weightless = withoutWeight(file);
  const round = [...targetsThatGoRound(file, routes), ...fallbacksThatGoRound(file, routes)];
  // Of what goes round the length says nothing.
  return [...weightless, ...ownFallbacks(file, routes), ...(round.length > 0 ? round : tooLong(file, routes))];
}

/** Names that aliases and fallbacks use and the file does not have: mistakes, unless a worker knows them. */
export function namesNotInFile(file: ModelsFile): readonly { path: readonly (string | number)[]; name: string }[] {
  const routes = new ModelRoutes(file);
  const fallbacks = (entry: ModelEntry | AliasEntry, path: readonly (string | number)[]) =>
    entry.fallbacks.map((name, index) => ({ path: [...path, 'fallbacks', index], name }));
  return [
    ...file.models.flatMap((model, index) => fallbacks(model, ['models', index])),
    ...file.aliases.flatMap((alias, index) => [
      ...alias.targets.map(({ model }, at) => ({ path: ['aliases', index, 'targets', at, 'model'], name: model })),
      ...fallbacks(alias, ['aliases', index]),
    ]),
  ].filter(({ name }) => !routes.has(name));
}

function namesTakenTwice({ models, aliases }: ModelsFile): FileProblem[] {
  const seen = new Map<string, string>();
  const problems: FileProblem[] = [];
  const take = (name: string, owner: string, path: FileProblem['path']) => {
    const earlier = seen.get(name);
    if (earlier === undefined) seen.set(name, owner);
    else problems.push({ path, message: `the name "${name}" is taken by ${earlier} already; choose another` });
  };
  for (const [index, model] of models.entries()) take(model.id, `models[${index}]`, ['models', index]);
  for (const [index, model] of models.entries()) {
    for (const [at, name] of model.aliases.entries()) {
      take(name, `models[${index}]`, ['models', index, 'aliases', at]);
    }
  }
  for (const [index, { name }] of aliases.entries()) take(name, `aliases[${index}]`, ['aliases', index, 'name']);
  return problems;
}

function withoutWeight({ aliases }: ModelsFile): FileProblem[] {
  return aliases.flatMap(({ name, targets }, index) =>
    targets.some(({ weight }) => weight > 0)
      ? []
      : [
          {
            path: ['aliases', index, 'targets'],
            message: `all targets of "${name}" have the weight 0, so that none is ever the first choice; give one of them more`,
          },
        ],
  );
}

function targetsThatGoRound({ aliases }: ModelsFile, routes: ModelRoutes): FileProblem[] {
  const names = aliases.map(({ name }) => name);
  return cyclesOf(names, (name) => routes.stepsOf(name).targets).map((cycle) => ({
    path: ['aliases', names.indexOf(cycle[0]!), 'targets'],
    message:
      cycle.length === 1
        ? `the alias "${cycle[0]}" stands for itself (${shown(cycle)}); name a model`
        : `aliases stand for each other (${shown(cycle)}); let one of them stand for a model only`,
  }));
}

/**
 * Of aliases alone. Models may well stand in for each other, each where the other does not answer: a request asks each of them once. Of aliases
 * that fall back on each other neither says what it stands for in the end.
 */
function fallbacksThatGoRound({ aliases }: ModelsFile, routes: ModelRoutes): FileProblem[] {
  const names = aliases.map(({ name }) => name);
  const steps = (name: string) =>
    Object.values(routes.stepsOf(name))
      .flat()
      .filter((step) => routes.isAlias(step));
  return cyclesOf(names, steps)
    .map((cycle) => ({ cycle, at: cycle.find((name, index) => handsOnTo(routes, name, cycle, index)) }))
    .flatMap(({ cycle, at }) => {
      if (at === undefined) return []; // By targets alone: it was said already.
      return [
        {
          path: ['aliases', names.indexOf(at), 'fallbacks'],
          message: `the fallbacks of aliases go round (${shown(cycle)}); take one of them out. Models may stand in for each other: name those`,
        },
      ];
    });
}

function handsOnTo(routes: ModelRoutes, name: string, cycle: readonly string[], index: number): boolean {
  const { targets, fallbacks } = routes.stepsOf(name);
  const next = cycle[(index + 1) % cycle.length]!;
  return fallbacks.includes(next) && !targets.includes(next);
}

/** To fall back on oneself is to have none. */
function ownFallbacks({ models }: ModelsFile, routes: ModelRoutes): FileProblem[] {
  return models.flatMap(({ id, fallbacks }, index) =>
    fallbacks.flatMap((name, at) =>
      routes.canonical(name) === id
        ? [{ path: ['models', index, 'fallbacks', at], message: `"${id}" stands in for itself; name another model` }]
        : [],
    ),
  );
}

/** Each way round that a walk from every name comes upon, from the name on that comes first. */
function cyclesOf(names: readonly string[], stepsOf: (name: string) => readonly string[]): string[][] {
  const done = new Set<string>();
  const cycles: string[][] = [];
  for (const start of names) {
    if (done.has(start)) continue;
    const way: { name: string; left: string[] }[] = [{ name: start, left: [...stepsOf(start)] }];
    const on = new Set([start]);
    while (way.length > 0) {
      const { name, left } = way.at(-1)!;
      const step = left.shift();
      if (step === undefined) {
        done.add(name);
        on.delete(name);
        way.pop();
      } else if (on.has(step)) {
        cycles.push(way.slice(way.findIndex((one) => one.name === step)).map((one) => one.name));
      } else if (!done.has(step)) {
        on.add(step);
        way.push({ name: step, left: [...stepsOf(step)] });
      }
    }
  }
  return cycles;
}

/** `a → b → a`, and of a long one its ends. */
function shown(cycle: readonly string[]): string {
  const names = [...cycle, cycle[0]!];
  const few = names.length > SHOWN_MAX ? [...names.slice(0, SHOWN_MAX - 2), '…', names.at(-1)!] : names;
  return few.join(' → ');
}

const SHOWN_MAX = 10;

/** So far is counted how often a request could be handed on: in a file of thousands of names, no further. */
const COUNTED_MAX = 100;

/** Of several that are too long for the same reason, the one that leads to the others, or the first where they lead to each other. */
function tooLong({ models, aliases }: ModelsFile, routes: ModelRoutes): FileProblem[] {
  const ids = models.map(({ id }) => id);
  const all = [...ids, ...aliases.map(({ name }) => name)];
  const long = all.filter((name) => routes.of(name, HEAVIEST_FIRST, 2 + FALLBACKS_MAX).length > 1 + FALLBACKS_MAX);
  return whoLeadToTheRest(long, (name) => Object.values(routes.stepsOf(name)).flat()).map((name) => {
    const index = ids.indexOf(name);
    const { fallbacks } = routes.stepsOf(name);
    const at = index >= 0 ? ['models', index] : ['aliases', all.indexOf(name) - ids.length];
    const count = routes.of(name, HEAVIEST_FIRST, 1 + COUNTED_MAX).length - 1;
    return {
      path: [...at, fallbacks.length > 0 ? 'fallbacks' : 'targets'],
      message: `a request for "${name}" could be handed on ${count < COUNTED_MAX ? count : `${COUNTED_MAX} or more`} times, counted along all aliases and fallbacks; at most ${FALLBACKS_MAX} may be. Take some of them out`,
    };
  });
}

/** As few of the names as one gets to all of them from. */
function whoLeadToTheRest(names: readonly string[], stepsOf: (name: string) => readonly string[]): string[] {
  const among = new Set(names);
  const ledTo = new Set(names.flatMap((name) => stepsOf(name).filter((step) => step !== name)));
  const reached = new Set<string>();
  const first: string[] = [];
  for (const name of [...names.filter((one) => !ledTo.has(one)), ...names]) {
    if (reached.has(name)) continue;
    first.push(name);
    reached.add(name);
    const next = [name];
    for (const one of next) {
      for (const step of stepsOf(one)) {
        if (!among.has(step) || reached.has(step)) continue;
        reached.add(step);
        next.push(step);
      }
    }
  }
  return first;
}
