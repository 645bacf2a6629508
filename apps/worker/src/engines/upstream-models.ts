import type { ModelDescription, Settings } from '@millrace/contracts';
import { openOpenAiEngine } from '@millrace/openai-engine';
import type { Logger } from '@millrace/runtime';
import type { UpstreamModel } from '../models/choose-model.js';
import type { LibraryModel, OpenTerms } from '../models/library-model.js';

export interface UpstreamParts {
  readonly settings: Settings;
  /** Where the keys are. */
  readonly environment: NodeJS.ProcessEnv;
  readonly logger: Logger;
}

/** A model that another server runs: it takes no memory here, and loading it is a greeting. */
export function upstreamModel(model: UpstreamModel, { settings, environment, logger }: UpstreamParts): LibraryModel {
  const { id, aliases, isDefault, idleUnloadMs, upstream } = model;
  const description = described(model);
  const open = ({ report, signal }: OpenTerms) =>
    openOpenAiEngine(
      {
        model: description,
        upstream,
        environment,
        limits: settings,
        logger,
        report: (sentence) => {
          report(sentence);
          logger.warn({ model: id }, sentence);
        },
      },
      signal,
    );
  return {
    id,
    aliases,
    isDefault,
    // Whether `warm` or not: it costs a greeting, and a missing or refused key is known before anybody asks.
    loadsAtStart: true,
    idleUnloadMs,
    isElsewhere: true,
    stamp: async () => '',
    look: async () => ({ description, bytes: 0, open }),
  };
}

function described(model: UpstreamModel): ModelDescription {
  const { id, aliases, isDefault, context, sampling, maxTokens, upstream } = model;
  return {
    id,
    aliases,
    isDefault,
    contextLength: context ?? 0,
    capabilities: upstream.capabilities ?? ['chat', 'completion'],
    engine: `openai-compatible: ${upstream.preset}`,
    created: 0,
    samplingDefaults: sampling,
    maxTokensDefault: maxTokens,
  };
}
