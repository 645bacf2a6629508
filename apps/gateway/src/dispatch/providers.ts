import { isDeepStrictEqual } from 'node:util';
import type { ModelsFile, Settings } from '@millrace/contracts';
import { ConfigurationError, type Logger } from '@millrace/runtime';
import { type ProviderModel, type ProviderSettings, providerModels } from './provider-models.js';
import type { WorkerClient } from './worker-client.js';

/** What is not as it should be with a provider. */
export interface ProviderTrouble {
  /** Nobody can be served by it until a person, or a network, mends it. Else it may answer all the same. */
  readonly isWrong: boolean;
  /** The same for all models of one provider. */
  readonly sentence: string;
}

/** A worker without a process, of which the gateway itself has charge. */
export interface Provider extends WorkerClient {
  /** Resolves once it was pinged for the first time, or need not be. */
  readonly heardOnce: Promise<void>;
  readonly trouble: ProviderTrouble | undefined;
  /** Takes nothing new, lets what runs come to its end, and closes. */
  retire(): Promise<void>;
}

/** Who is told which workers there are. */
interface Directory {
  add(worker: WorkerClient): void;
  remove(worker: WorkerClient): void;
}

/** The models file, as of its last edit that had no mistake. */
interface Models {
  readonly current: ModelsFile;
  watch(listener: (file: ModelsFile) => void): () => void;
}

/**
 * The models that the gateway serves itself, as the models file has them just now: an entry that is edited gets a new provider
 * while the old one finishes its answers; the others keep theirs, and their connections.
 *
 * Ownership: owns the providers that `open` makes, from then until they are closed; in the directory are those in force.
 * Concurrency: only an edit changes the set, in one turn.
 */
export class Providers {
  readonly #inForce = new Map<string, { readonly model: ProviderModel; readonly provider: Provider }>();
  readonly #retiring = new Set<Provider>();
  readonly #stopWatching: () => void;

  constructor(
    models: Models,
    private readonly directory: Directory,
    private readonly open: (model: ProviderModel) => Provider,
    private readonly settings: ProviderSettings & Pick<Settings, 'providerCheck'>,
    private readonly logger: Logger,
  ) {
    this.#serve(models.current);
    this.#stopWatching = models.watch((file) => this.#serve(file));
  }

  /** What works, but not as it should, as a sentence. */
  get trouble(): string | undefined {
    const troubles = this.#troubles().map(sentenceOf);
    return troubles.length === 0 ? undefined : troubles.join(' ');
  }

  /**
   * For the start, and never after: whether every provider can be used. With `warn` what is wrong is only said; with `off` nothing was
   * asked.
   *
   * @throws ConfigurationError with a sentence for everything that is wrong, not only the first.
   */
  async checked(): Promise<void> {
    const { providerCheck } = this.settings;
    if (providerCheck === 'off') return;
    await Promise.all([...this.#inForce.values()].map(({ provider }) => provider.heardOnce));
    const troubles = this.#troubles();
    const wrong = troubles.filter(({ isWrong }) => isWrong);
    const strict = providerCheck === 'strict';
    for (const trouble of troubles) if (!(strict && trouble.isWrong)) this.logger.warn(sentenceOf(trouble));
    if (!strict || wrong.length === 0) return;
    throw new ConfigurationError([...wrong.map(sentenceOf), REMEDY]);
  }

  async close(): Promise<void> {
    this.#stopWatching();
    const all = [...[...this.#inForce.values()].map(({ provider }) => provider), ...this.#retiring];
    await Promise.all(all.map((provider) => provider.close()));
  }

  #serve(file: ModelsFile): void {
    const models = new Map(providerModels(file, this.settings).map((model) => [model.id, model]));
    const before = [...this.#inForce];
    for (const [id, model] of models) {
      const known = this.#inForce.get(id);
      if (known !== undefined && isDeepStrictEqual(known.model, model)) continue;
      const provider = this.open(model);
      this.#inForce.set(id, { model, provider });
      this.directory.add(provider); // Before the old one goes, or the model would be gone for a moment.
    }
    for (const [id, { provider }] of before) {
      if (this.#inForce.get(id)?.provider === provider && models.has(id)) continue;
      if (!models.has(id)) this.#inForce.delete(id);
      this.#retire(provider);
    }
  }

  #retire(provider: Provider): void {
    this.directory.remove(provider);
    this.#retiring.add(provider);
    const done = () => this.#retiring.delete(provider);
    provider.retire().then(done, (error: unknown) => {
      done();
      this.logger.error({ err: error, worker: provider.address }, 'A provider could not be closed.');
    });
  }

  /** One for each sentence, however many models it is about. */
  #troubles(): readonly (ProviderTrouble & { readonly ids: readonly string[] })[] {
    const found = new Map<string, ProviderTrouble & { readonly ids: string[] }>();
    for (const [id, { provider }] of this.#inForce) {
      const { trouble } = provider;
      if (trouble === undefined) continue;
      const { ids } = found.get(trouble.sentence) ?? { ids: [] as string[] };
      ids.push(id);
      found.set(trouble.sentence, { ...trouble, ids });
    }
    return [...found.values()];
  }
}

const REMEDY =
  'Correct that, or start with --provider-check=warn, which only says so and serves what it can (docs/how-to/providers.md).';
/** So many models a sentence names. */
const NAMED_MAX = 5;

function sentenceOf({ sentence, ids }: ProviderTrouble & { readonly ids: readonly string[] }): string {
  const more = ids.length - NAMED_MAX;
  const named = ids.slice(0, NAMED_MAX).join(', ');
  return `${sentence} It is to serve ${more > 0 ? `${named} and ${more} more` : named}.`;
}
