import { type ErrorCode, InferenceError, type ModelCapability, type ModelDescription } from '@millrace/contracts';

/** Where the catalog learns what is served; undefined while no worker has ever reported. */
export type ModelSource = () => readonly ModelDescription[] | undefined;

/** Time for a worker to load a small model; what clients wait when nothing has reported yet. */
const RETRY_AFTER_SECONDS = 2;
/** A name in an error message is cut here: it came from outside and may be long. */
const SHOWN_NAME_LENGTH_MAX = 100;
/** So many models an error message lists. */
const SHOWN_MODELS_MAX = 10;

/** The models by name and alias, as their workers describe them. */
export class ModelCatalog {
  constructor(
    private readonly source: ModelSource,
    private readonly mayUse: (model: ModelDescription) => boolean = () => true,
  ) {}

  /** As somebody sees it who may not use all of them: of the others nothing is told but that. */
  only(mayUse: (model: ModelDescription) => boolean): ModelCatalog {
    return new ModelCatalog(this.source, mayUse);
  }

  list(): readonly ModelDescription[] {
    return this.source() ?? [];
  }

  /** @throws InferenceError `model_not_found`, `model_not_allowed`, or `model_not_ready` while nobody knows yet what is served. */
  find(name: string): ModelDescription {
    const models = this.#reported();
    const model = models.find(({ id }) => id === name) ?? models.find(({ aliases }) => aliases.includes(name));
    if (model && this.mayUse(model)) return model;
    if (model) throw notAllowed(`the model \`${model.id}\``);
    throw new InferenceError(
      'model_not_found',
      `The model \`${name.slice(0, SHOWN_NAME_LENGTH_MAX)}\` does not exist. GET /v1/models lists those that do.`,
      { param: 'model' },
    );
  }

  /**
   * The model that a request means: the one it names, else the default, else the only one there is; and of these only
   * one that can do what is asked, if anything particular is.
   *
   * @throws InferenceError as `find`, or a 400 that says what the models do.
   */
  resolve(name: string | null | undefined, capability?: ModelCapability): ModelDescription {
    if (!name) return this.#unnamed(capability);
    const model = this.find(name);
    // One that could not be read yet does nothing that is known: its worker says what it can do, or what is wrong with it.
    if (can(model, capability) || model.capabilities.length === 0) return model;
    throw new InferenceError(
      refusalOf([model], capability),
      `The model \`${model.id}\` does not do ${capability}; it does ${abilities(model)}. Choose another model or endpoint.`,
      { param: 'model' },
    );
  }

  #unnamed(capability: ModelCapability | undefined): ModelDescription {
    const models = this.#reported().filter(this.mayUse);
    if (models.length === 0) throw notAllowed('any model that is served');
    const able = models.filter((model) => can(model, capability));
    const model = able.find(({ isDefault }) => isDefault) ?? (able.length === 1 ? able[0] : undefined);
    if (model) return model;
    throw able.length === 0 ? noneDoes(models, capability) : nameOne(able, capability);
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

function nameOne(models: readonly ModelDescription[], capability: ModelCapability | undefined): InferenceError {
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
