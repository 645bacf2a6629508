import {
  type ErrorCode,
  HEAVIEST_FIRST,
  InferenceError,
  type ModelCapability,
  type ModelCaps,
  type ModelDescription,
  type ModelRoutes,
  type ModelsFile,
} from '@millrace/contracts';
import { nearestName } from '@millrace/runtime';
import { capsOf, type FileTables, tablesOf, withFile } from './models-in-file.js';

/** Where the catalog learns what is served; undefined while no worker has ever reported. */
export type ModelSource = () => readonly ModelDescription[] | undefined;

/** Time for a worker to load a small model; what clients wait when nothing has reported yet. */
const RETRY_AFTER_SECONDS = 2;
/** A name in an error message is cut here: it came from outside and may be long. */
const SHOWN_NAME_LENGTH_MAX = 100;
/** A misspelt name is compared with so many: whoever sends nonsense all the time costs no more. */
const COMPARED_NAMES_MAX = 200;
/** So many models an error message lists. */
const SHOWN_MODELS_MAX = 10;

/** A file that says nothing: a gateway needs none. */
const NO_FILE: ModelsFile = { models: [], aliases: [] };

/** What a caller may ask for by name. */
export type Named = Pick<ModelDescription, 'id' | 'aliases'>;

/** The cause of a `model_not_found`, where the caller might have asked for such a model. */
export class UnknownModel {
  constructor(readonly asked: string) {}
}

/** The cause of a `model_not_ready`, where a worker comes for whoever waits: any of these will do, those that rest at zero first. */
export class RestingModels {
  constructor(
    readonly first: string,
    readonly others: readonly string[],
  ) {}
}

/** Who is to answer a request: the first choice, and who stands in for it, in this order. */
export interface Route {
  readonly model: ModelDescription;
  readonly fallbacks: readonly ModelDescription[];
}

/**
 * The models by name and alias: as their workers describe them, and as the models file has them. A name of the file means what the file
 * says, before what a worker calls so.
 */
export class ModelCatalog {
  constructor(
    private readonly source: ModelSource,
    private readonly file: () => ModelsFile = () => NO_FILE,
    private readonly mayUse: (named: Named) => boolean = () => true,
    private readonly onRest: (id: string) => void = () => {},
  ) {}

  /** As somebody sees it who may not ask for all of them: of the others nothing is told but that. */
  only(mayUse: (named: Named) => boolean): ModelCatalog {
    return new ModelCatalog(this.source, this.file, mayUse, this.onRest);
  }

  /** Models of the file that come when somebody waits for them, by id. */
  get resting(): ReadonlySet<string> {
    return tablesOf(this.file()).resting;
  }

  list(): readonly ModelDescription[] {
    const tables = tablesOf(this.file());
    return (this.source() ?? []).map((model) => withFile(tables, model));
  }

  /** What the models file lets one request ask of a model. */
  capsOf(id: string): ModelCaps {
    return capsOf(tablesOf(this.file()), id);
  }

  /** The first that a name stands for. @throws InferenceError as `route`. */
  find(name: string): ModelDescription {
    return this.resolve(name);
  }

  /**
   * As `route`, for what is no answer, where nobody stands in: the heaviest that the name stands for and that a worker has told of.
   * For vectors always the heaviest: those of two models can't be compared, and to pass one over would be a silent mistake.
   */
  resolve(name: string | null | undefined, capability?: ModelCapability): ModelDescription {
    const idsOf = (routes: ModelRoutes, asked: string) => {
      const targets = routes.targetsOf(asked);
      return capability === 'embedding' ? targets.slice(0, 1) : targets;
    };
    return this.#route(name, capability, idsOf)[0];
  }

  /**
   * Who answers a request: what it names, else the default, else the only one there is; and of these only those that can do what is asked,
   * if anything particular is. What no worker has ever told of is passed over for the next.
   *
   * Whoever may ask for a name may be answered by whatever it stands for and by whoever stands in: that is for the models file to say.
   *
   * @param chance between targets of an alias; unsaid, the heaviest comes first.
   * @throws InferenceError `model_not_found`; `model_not_allowed`; `model_not_ready` while nobody knows what is served, or none of those
   *   that the file has in mind; or a 400 that says what the models do.
   */
  route(name: string | null | undefined, capability?: ModelCapability, chance = HEAVIEST_FIRST): Route {
    const [model, ...fallbacks] = this.#route(name, capability, (routes, asked) => routes.of(asked, chance));
    return { model, fallbacks };
  }

  #route(
    name: string | null | undefined,
    capability: ModelCapability | undefined,
    idsOf: (routes: ModelRoutes, asked: string) => readonly string[],
  ): [ModelDescription, ...ModelDescription[]] {
    const tables = tablesOf(this.file());
    const asked = name || this.#unnamed(capability, tables);
    const ids = idsOf(tables.routes, asked);
    // Of what rests at zero the file tells, though no worker has yet.
    const reported = ids.some((id) => tables.resting.has(id)) ? (this.source() ?? []) : this.#reported();
    const known = ids.flatMap((id) => describedBy(reported, id) ?? []);
    this.#checkAllowed(asked, tables, known);
    this.#tellOfRest(ids, reported, tables);
    const [first] = known;
    if (first === undefined) throw this.#unknown(asked, tables, ids);
    // One that could not be read yet does nothing that is known: its worker says what it can do, or what is wrong with it.
    const able = known.filter((model) => can(model, capability) || model.capabilities.length === 0);
    const [model, ...fallbacks] = able.map((one) => withFile(tables, one));
    if (model === undefined) throw unable(first, capability);
    return [model, ...fallbacks];
  }

  /** Whoever is passed over for another, or waited for, comes of that. */
  #tellOfRest(ids: readonly string[], reported: readonly ModelDescription[], { resting }: FileTables): void {
    if (resting.size === 0) return;
    const away = ids.findIndex((id) => resting.has(id) && describedBy(reported, id) === undefined);
    const here = ids.findIndex((id) => describedBy(reported, id) !== undefined);
    if (away >= 0 && (here < 0 || away < here)) this.onRest(ids[away]!);
  }

  /** Whether a caller may ask for a name that there is. */
  mayAskFor(name: string): boolean {
    const tables = tablesOf(this.file());
    const { routes } = tables;
    if (!routes.isAlias(name)) return this.#mayUse(routes.modelOf(name) ?? name, tables);
    if (this.mayUse({ id: name, aliases: [] })) return true;
    // Whoever may use all that it can lead to may use it under this name as well.
    return routes.of(name, HEAVIEST_FIRST).every((id) => this.#mayUse(id, tables));
  }

  /** A model has names at the workers and in the file. */
  #mayUse(name: string, tables: FileTables): boolean {
    const model = describedBy(this.source() ?? [], name);
    if (model !== undefined) return this.mayUse(withFile(tables, model));
    return this.mayUse({ id: name, aliases: tables.entries.get(name)?.aliases ?? [] });
  }

  #checkAllowed(asked: string, { routes }: FileTables, known: readonly ModelDescription[]): void {
    if (known.length === 0 && !routes.has(asked)) return; // A 404: nobody can be allowed what does not exist.
    if (this.mayAskFor(asked)) return;
    // By the model's own name where it was asked for by a further one; never by that of whoever stands in.
    const name = routes.has(asked) ? routes.canonical(asked) : known[0]!.id;
    throw notAllowed(`the model \`${name}\``);
  }

  #unknown(asked: string, { routes, resting }: FileTables, ids: readonly string[]): InferenceError {
    if (routes.has(asked)) return notServed(asked, ids, resting);
    const names = [...this.list().flatMap(({ id, aliases }) => [id, ...aliases]), ...routes.names()];
    const shown = asked.slice(0, SHOWN_NAME_LENGTH_MAX);
    const nearest = nearestName(shown, names.slice(0, COMPARED_NAMES_MAX));
    const meant = nearest !== undefined && this.mayAskFor(nearest) ? ` Did you mean \`${nearest}\`?` : '';
    return new InferenceError(
      'model_not_found',
      `The model \`${shown}\` does not exist.${meant} GET /v1/models lists those that do.`,
      { param: 'model', ...(this.mayAskFor(asked) && { cause: new UnknownModel(asked) }) },
    );
  }

  #unnamed(capability: ModelCapability | undefined, { file, resting }: FileTables): string {
    const only = file.defaultModel ?? (file.models.length === 1 ? file.models[0]?.id : undefined);
    const nobodyTold = (this.source() ?? []).length === 0;
    if (nobodyTold && only !== undefined && resting.has(only)) return only;
    const models = this.#reported().filter((model) => this.mayUse(model));
    if (models.length === 0) return this.#unnamedAlias(capability);
    const able = models.filter((model) => can(model, capability));
    const model = able.find(({ isDefault }) => isDefault) ?? (able.length === 1 ? able[0] : undefined);
    if (model) return model.id;
    throw able.length === 0 ? noneDoes(models, capability) : nameOne(able, capability);
  }

  /** Of a caller who may ask for no model by its own name: the only alias, if there is only one that can do what is asked. */
  #unnamedAlias(capability: ModelCapability | undefined): string {
    const { routes } = tablesOf(this.file());
    const reported = this.#reported();
    const names = routes.names().filter((name) => routes.isAlias(name) && this.mayUse({ id: name, aliases: [] }));
    if (names.length === 0) throw notAllowed('any model that is served');
    const able = names.filter((name) =>
      routes.targetsOf(name).some((id) => reported.some((model) => isCalled(model, id) && can(model, capability))),
    );
    // Where none is able, the first says what it does.
    if (able.length <= 1) return able[0] ?? names[0]!;
    throw nameOne(
      able.map((id) => ({ id })),
      capability,
    );
  }

  #reported(): readonly ModelDescription[] {
    const models = this.source();
    // A 404 here would be a lie: the model may well be configured, and a client does not retry a 404.
    if (models && models.length > 0) return models;
    throw new InferenceError('model_not_ready', 'No worker has reported its models yet. Try again shortly.', {
      retryAfterSeconds: RETRY_AFTER_SECONDS,
    });
  }
}

function isCalled({ id, aliases }: ModelDescription, name: string): boolean {
  return id === name || aliases.includes(name);
}

function describedBy(models: readonly ModelDescription[], name: string): ModelDescription | undefined {
  return models.find(({ id }) => id === name) ?? models.find(({ aliases }) => aliases.includes(name));
}

/** A 404 would be a lie: it was meant to be there, and a client does not retry a 404. */
function notServed(name: string, ids: readonly string[], resting: ReadonlySet<string>): InferenceError {
  const [first, ...others] = [...ids].sort((one, other) => Number(resting.has(other)) - Number(resting.has(one)));
  const cause = first !== undefined && resting.has(first) ? new RestingModels(first, others) : undefined;
  const shown = listed(ids.map((id) => `\`${id}\``));
  const what = ids.length === 1 && ids[0] === name ? '' : `, which stands for ${shown}`;
  return new InferenceError(
    'model_not_ready',
    `No worker has the model \`${name}\` now${what}: the models file names it, and workers read theirs when they start. Try again shortly, or start one again if it was added since.`,
    { param: 'model', retryAfterSeconds: RETRY_AFTER_SECONDS, cause },
  );
}

function unable(model: ModelDescription, capability: ModelCapability | undefined): InferenceError {
  return new InferenceError(
    refusalOf([model], capability),
    `The model \`${model.id}\` does not do ${capability}; it does ${abilities(model)}. Choose another model or endpoint.`,
    { param: 'model' },
  );
}

function notAllowed(what: string): InferenceError {
  return new InferenceError(
    'model_not_allowed',
    `This key may not use ${what}. GET /v1/models lists those that it may use.`,
    { param: 'model' },
  );
}

function can(model: ModelDescription, capability: ModelCapability | undefined): boolean {
  return capability === undefined || model.capabilities.includes(capability);
}

function abilities({ capabilities }: ModelDescription): string {
  return capabilities.join(', ') || 'nothing yet';
}

/** What nobody among these models can do. A model that continues texts and does not chat does generate. */
function refusalOf(models: readonly ModelDescription[], capability: ModelCapability | undefined): ErrorCode {
  if (capability === 'embedding') return 'embeddings_not_supported';
  if (capability === 'rerank') return 'rerank_not_supported';
  const generates = models.some((model) => can(model, 'chat') || can(model, 'completion'));
  return generates ? 'invalid_request' : 'generation_not_supported';
}

function noneDoes(models: readonly ModelDescription[], capability: ModelCapability | undefined): InferenceError {
  const each = listed(models.map((model) => `\`${model.id}\` does ${abilities(model)}`));
  return new InferenceError(
    refusalOf(models, capability),
    `None of the models served does ${capability}: ${each}. Choose another endpoint, or serve such a model.`,
    { param: 'model' },
  );
}

function nameOne(
  models: readonly Pick<ModelDescription, 'id'>[],
  capability: ModelCapability | undefined,
): InferenceError {
  const served = capability === undefined ? 'are served' : `do ${capability}`;
  return new InferenceError(
    'invalid_request',
    `\`model\` is required: ${models.length} models ${served}, and none of them is the default. Name one of ${listed(models.map(({ id }) => `\`${id}\``))}.`,
    { param: 'model' },
  );
}

function listed(texts: readonly string[]): string {
  const more = texts.length - SHOWN_MODELS_MAX;
  return more > 0 ? `${texts.slice(0, SHOWN_MODELS_MAX).join(', ')} and ${more} more` : texts.join(', ');
}
