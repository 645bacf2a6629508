import { boolean, modelListSchema, optionalText, type SettingTable, type UpstreamEntry } from '@millrace/contracts';
import { PRESETS } from '@millrace/openai-engine';
import { loadSettings, readModelsFile } from '@millrace/runtime';
import { type Command, type CommandContext, OWN } from './command.js';
import { trustGateway } from './fetch-gateway.js';
import { gatewayUrl, urlOfGateway } from './gateway-address.js';
import { answersAt, askGateway } from './gateway-client.js';
import { bearerOf, withLookingKey } from './gateway-keys.js';
import { alignedTable } from './table.js';

const own = {
  url: optionalText({
    ...OWN,
    why: 'The gateway to ask, such as http://10.0.0.5:8000. Absent: `host` and `port`, and where none runs, the models file.',
  }),
  json: boolean({ ...OWN, default: false, why: 'Prints a JSON array instead of a table.' }),
} as const satisfies SettingTable;

export const modelsCommand: Command = {
  usage: '[--json] [--url URL]',
  about: 'Lists the models that a running gateway serves, or, when none runs, those of the models file.',
  own,
  settings: ['host', 'port', 'modelsFile', 'apiKey'],
  examples: ['millrace models', 'millrace models --json'],
  run: models,
};

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

async function models({ args, environment, workingFolder, write }: CommandContext): Promise<number> {
  const loaded = loadSettings({ reader: 'cli', args, environment, workingFolder, own });
  trustGateway(loaded.settings);
  const url = loaded.own.url === undefined ? gatewayUrl(loaded.settings) : urlOfGateway(loaded.own.url);
  // A gateway that was named must answer; the usual one may be off.
  const runs = loaded.own.url !== undefined || (await answersAt(url, '/healthz')) !== undefined;
  const headers =
    loaded.own.url === undefined ? withLookingKey(loaded.settings, workingFolder) : bearerOf(loaded.settings.apiKey);
  const list = runs ? await servedModels(url, headers) : configuredModels(loaded.settings.modelsFile);
  if (loaded.own.json) {
    write(`${JSON.stringify(list, null, 2)}\n`);
    return 0;
  }
  const source = runs ? `Served at ${url}` : `No gateway runs at ${url}; from ${loaded.settings.modelsFile}`;
  write(`${source}:\n\n${tableOf(list)}\n`);
  return 0;
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
