import { type ModelEntry, type ModelsFile, type Settings, servedByGateway } from '@millrace/contracts';
import { type ProviderPing, pingProvider, providerKey } from '@millrace/openai-engine';
import { type Finding, fine, wrong } from './finding.js';

/** So many models of a provider a line names. */
const NAMED_MAX = 5;
const NEVER = new AbortController().signal;

/**
 * What every start of a gateway looks at, as lines: each provider that it asks itself has its key, can be reached and takes the key. All are
 * asked at the same time.
 */
export async function checkProviders(
  { models }: Pick<ModelsFile, 'models'>,
  { providerCheck, providerCheckTimeoutMs }: Pick<Settings, 'providerCheck' | 'providerCheckTimeoutMs'>,
  environment: NodeJS.ProcessEnv,
): Promise<Finding[]> {
  const byProvider = Map.groupBy(models.filter(servedByGateway), ({ upstream }) => providerKey(upstream!));
  return Promise.all(
    [...byProvider.values()].map(async (entries) => {
      const upstream = entries[0]!.upstream!;
      const about = `provider ${upstream.preset}`;
      if (providerCheck === 'off')
        return fine(about, `not asked (providerCheck: off); it is to serve ${named(entries)}`);
      return findingOf(about, await pingProvider({ upstream, environment }, providerCheckTimeoutMs, NEVER), entries);
    }),
  );
}

function findingOf(about: string, ping: ProviderPing, entries: readonly ModelEntry[]): Finding {
  if (ping.verdict === 'fine') return fine(about, `${ping.name} answers${listing(ping, entries)}`);
  if (ping.verdict === 'doubtful') return fine(about, ping.sentence);
  const [detail, ...remedy] = ping.sentence.split(/(?<=\.) (?=[A-Z])/);
  return wrong(about, `${detail} It is to serve ${named(entries)}.`, remedy.join(' ') || 'Then check again.');
}

/** Lists leave models out that are served all the same, so that one that is missing is no mistake for certain. */
function listing({ ping }: Extract<ProviderPing, { verdict: 'fine' }>, entries: readonly ModelEntry[]): string {
  const listed = ping.kind === 'there' ? ping.models.map(({ id }) => id) : [];
  if (listed.length === 0) return '';
  const count = `, and lists ${listed.length === 1 ? '1 model' : `${listed.length.toLocaleString('en-US')} models`}`;
  const missing = entries.map(({ id, upstream }) => upstream!.model ?? id).filter((name) => !listed.includes(name));
  return missing.length === 0
    ? count
    : `${count}, but not ${missing.slice(0, NAMED_MAX).join(', ')}: is \`upstream.model\` right?`;
}

function named(entries: readonly ModelEntry[]): string {
  const ids = entries.slice(0, NAMED_MAX).map(({ id }) => id);
  const more = entries.length - ids.length;
  return `${ids.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
