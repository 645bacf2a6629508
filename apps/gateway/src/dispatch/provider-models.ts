import {
  type ModelDescription,
  type ModelEntry,
  type ModelsFile,
  type Settings,
  servedByGateway,
  type UpstreamEntry,
} from '@millrace/contracts';
import { namesFile } from '@millrace/runtime';

/** A model that a provider runs, with everything that settings and the models file say about it. */
export interface ProviderModel {
  readonly id: string;
  readonly aliases: readonly string[];
  readonly isDefault: boolean;
  /** Tokens a sequence may hold. Absent: as the provider tells. */
  readonly context: number | undefined;
  readonly sampling: ModelDescription['samplingDefaults'];
  readonly maxTokens: number | undefined;
  readonly upstream: UpstreamEntry;
}

export type ProviderSettings = Pick<
  Settings,
  'model' | 'defaultMaxTokens' | 'defaultTemperature' | 'defaultTopP' | 'defaultTopK'
>;

/** The models of the file that the gateway serves by itself. */
export function providerModels(file: ModelsFile, settings: ProviderSettings): readonly ProviderModel[] {
  const chosen = chosenName(file, settings);
  return file.models.filter(servedByGateway).map((entry) => providerModel(entry, settings, chosen));
}

/** As the worker chooses: who is started with a model of its own has that as the default. */
function chosenName({ defaultModel, models }: ModelsFile, { model }: ProviderSettings): string | undefined {
  if (model !== undefined) return namesFile(model) ? undefined : model;
  return defaultModel ?? (models.length === 1 ? models[0]?.id : undefined);
}

function providerModel(entry: ModelEntry, settings: ProviderSettings, chosen: string | undefined): ProviderModel {
  const { id, aliases, defaults, context } = entry;
  return {
    id,
    aliases,
    isDefault: chosen !== undefined && [id, ...aliases].includes(chosen),
    context,
    sampling: {
      temperature: defaults.temperature ?? settings.defaultTemperature,
      topP: defaults.topP ?? settings.defaultTopP,
      topK: defaults.topK ?? settings.defaultTopK,
      minP: defaults.minP ?? 0,
    },
    maxTokens: defaults.maxTokens ?? settings.defaultMaxTokens,
    upstream: entry.upstream!, // Or the gateway would not serve it.
  };
}
