import { modelListSchema, type Settings, type UpstreamEntry } from '@millrace/contracts';
import { PRESETS } from '@millrace/openai-engine';
import { readModelsFile } from '@millrace/runtime';
import type { CommandContext } from '../command.js';
import { gatewayUrl, urlOfGateway } from '../gateway-address.js';
import { answersAt, askGateway } from '../gateway-client.js';
import { bearerOf, withLookingKey } from '../gateway-keys.js';
import { alignedTable } from '../table.js';

interface ListedModel {
  readonly id: string;
  readonly context: number | undefined;
  readonly capabilities: readonly string[];
  readonly aliases: readonly string[];
  /** The file, or the server: as the models file has it. */
  readonly path: string | undefined;
  readonly upstream: string | undefined;
  /** Whether it is loaded; what a gateway that says nothing of it serves, is. */
  readonly state: string | undefined;
  readonly engine: string | undefined;
}

/** What a running gateway serves, or, when none runs, what the models file has. */
export async function listServed(
  { workingFolder, write }: CommandContext,
  settings: Settings,
  named: string | undefined,
  json: boolean,
): Promise<void> {
  const url = named === undefined ? gatewayUrl(settings) : urlOfGateway(named);
  // A gateway that was named must answer; the usual one may be off.
  const runs = named !== undefined || (await answersAt(url, '/healthz')) !== undefined;
  const headers = named === undefined ? withLookingKey(settings, workingFolder) : bearerOf(settings.apiKey);
  const list = runs ? await servedModels(url, headers) : configuredModels(settings.modelsFile);
  if (json) return write(`${JSON.stringify(list, null, 2)}\n`);
  const source = runs ? `Served at ${url}` : `No gateway runs at ${url}; from ${settings.modelsFile}`;
  write(`${source}:\n\n${tableOf(list)}\n`);
}

async function servedModels(url: string, headers: Record<string, string>): Promise<ListedModel[]> {
  const response = await askGateway(url, '/v1/models', { headers });
  const { data } = modelListSchema.parse(await response.json());
  return data.map(({ id, context_length, capabilities, state }) => ({
    id,
    // 0 is said of a model that nobody could look at yet, and of one elsewhere whose context nobody wrote down.
    context: context_length,
    capabilities,
    aliases: [],
    path: undefined,
    upstream: undefined,
    state: state ?? 'loaded',
    engine: undefined,
  }));
}

function configuredModels(modelsFile: string): ListedModel[] {
  return readModelsFile(modelsFile).models.map(({ id, context, aliases, path, engine, upstream }) => ({
    id,
    context,
    capabilities: [],
    aliases,
    path,
    upstream: upstream === undefined ? undefined : serverOf(upstream),
    state: undefined,
    engine,
  }));
}

function serverOf({ preset, url = PRESETS[preset].url }: UpstreamEntry): string {
  return url === undefined ? preset : `${preset} at ${url}`;
}

function tableOf(list: readonly ListedModel[]): string {
  if (list.length === 0) return 'none';
  const columns = [
    { heading: 'MODEL', cell: (model: ListedModel) => model.id },
    { heading: 'CONTEXT', cell: contextOf },
    { heading: 'CAN', cell: (model: ListedModel) => model.capabilities.join(', ') },
    { heading: 'ALIASES', cell: (model: ListedModel) => model.aliases.join(', ') },
    { heading: 'STATE', cell: (model: ListedModel) => model.state ?? '' },
    { heading: 'ENGINE', cell: (model: ListedModel) => model.engine ?? '' },
    { heading: 'FILE OR SERVER', cell: (model: ListedModel) => model.path ?? model.upstream ?? '' },
    // A gateway tells other things than the file does; a column that is empty throughout is left out.
  ].filter(({ cell }) => list.some((model) => cell(model) !== ''));
  return alignedTable(
    columns.map(({ heading }) => heading),
    list.map((model) => columns.map(({ cell }) => cell(model))),
    ['CONTEXT'],
  );
}

function contextOf({ context, path }: ListedModel): string {
  if (context !== undefined) return context.toLocaleString('en-US');
  return path === undefined ? 'not known' : 'the most that fits';
}
