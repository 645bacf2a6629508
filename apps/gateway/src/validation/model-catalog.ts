import { InferenceError, type ModelCapability, type ModelDescription } from '@millrace/contracts';

/** Where the catalog learns what is served; undefined while no worker has ever reported. */
export type ModelSource = () => readonly ModelDescription[] | undefined;

/** Time for a worker to load a small model; what clients wait when nothing has reported yet. */
const RETRY_AFTER_SECONDS = 2;
/** A name in an error message is cut here: it came from outside and may be long. */
const SHOWN_NAME_LENGTH_MAX = 100;

/** The models by name and alias, as their workers describe them. */
export class ModelCatalog {
  constructor(private readonly source: ModelSource) {}

  list(): readonly ModelDescription[] {
    return this.source() ?? [];
  }

  /** @throws InferenceError `model_not_found`, or `model_not_ready` while nobody knows yet what is served. */
  find(name: string): ModelDescription {
    const models = this.#reported();
    const model = models.find(({ id }) => id === name) ?? models.find(({ aliases }) => aliases.includes(name));
    if (model) return model;
    throw new InferenceError(
      'model_not_found',
      `The model \`${name.slice(0, SHOWN_NAME_LENGTH_MAX)}\` does not exist. GET /v1/models lists those that do.`,
      { param: 'model' },
    );
  }

  /** The model that a request means, which must be able to do what is asked. */
  resolve(name: string | null | undefined, capability: ModelCapability): ModelDescription {
    const model = name ? this.find(name) : this.#default();
    if (model.capabilities.includes(capability)) return model;
    throw new InferenceError(
      'invalid_request',
      `The model \`${model.id}\` does not do ${capability}; it does ${model.capabilities.join(', ') || 'nothing yet'}. Choose another model or endpoint.`,
      { param: 'model' },
    );
  }

  #default(): ModelDescription {
    const models = this.#reported();
    const model = models.find(({ isDefault }) => isDefault) ?? (models.length === 1 ? models[0] : undefined);
    if (model) return model;
    throw new InferenceError(
      'invalid_request',
      `\`model\` is required: ${models.length} models are served and none of them is the default. GET /v1/models lists them.`,
      { param: 'model' },
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
