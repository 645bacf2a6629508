import { keyListSchema, type ModelBody, modelListSchema, type Settings, type SettingTable } from '@millrace/contracts';
import { createLogger, type Logger, loadSettings, terminationRequested, warnOfSecretFlags } from '@millrace/runtime';
import pc from 'picocolors';
import { type Command, type CommandContext, CommandError } from '../command.js';
import { fetchGateway, trustGateway } from '../fetch-gateway.js';
import { withAdminKeyIfAny, withLookingKey } from '../gateway-keys.js';
import { banner, type KeysNeeded } from './banner.js';
import { needsWorker } from './needs-worker.js';
import { Service } from './service.js';

const own = {} as const satisfies SettingTable;

export const serveCommand: Command = {
  usage: '[settings]',
  about:
    'Starts one worker (the engine) and one gateway (the OpenAI API) as two processes, or the gateway alone where it serves every model itself, says when they are ready, starts again what dies, and on Ctrl-C lets running answers finish.',
  own,
  settings: 'all',
  examples: [
    'millrace serve',
    'millrace serve --model ./any.gguf --model-id mine --context 8192 --max-batch-size 8',
    'millrace serve --port 8001 --log-level debug',
  ],
  run: serve,
};

async function serve(context: CommandContext): Promise<number> {
  const { args, environment, workingFolder } = context;
  const loaded = loadSettings({ reader: 'serve', args, environment, workingFolder, own });
  const { logLevel, logFormat } = loaded.settings;
  const logger = createLogger({ name: 'serve', level: logLevel, format: logFormat });
  warnOfSecretFlags(loaded, logger);
  trustGateway(loaded.settings);
  const withoutWorker = !needsWorker(loaded.settings, workingFolder);
  if (withoutWorker) sayNoWorker(context, loaded.settings, logger);
  else if (loaded.sources.workers !== 'default') sayOwnWorker(loaded.settings, logger);
  const service = new Service({
    loaded,
    logger,
    withoutWorker,
    onProgress: (reason) => {
      if (context.isTerminal) context.write(pc.dim(`  ${reason}\n`));
    },
  });

  // A second Ctrl-C ends this process at once (`terminationRequested`); the others must not outlive it.
  process.once('exit', () => service.kill());
  const stopRequested = terminationRequested();
  try {
    const started = await Promise.race([service.start(), stopRequested]);
    if (typeof started !== 'string') {
      const { models, keys } = await lookAround(
        started.url,
        withLookingKey(loaded.settings, workingFolder),
        withAdminKeyIfAny(loaded.settings, workingFolder),
      );
      if (logFormat === 'json') logger.info({ url: started.url, models: models.map(({ id }) => id), keys }, 'ready');
      else context.write(banner(started.url, models, keys));
      await stopRequested;
    }
    if (context.isTerminal && logFormat !== 'json') {
      context.write(pc.dim('\n  Stopping: running answers may finish. Ctrl-C again stops at once.\n'));
    }
    return 0;
  } finally {
    await service.stop();
  }
}

function sayNoWorker(context: CommandContext, { modelsFile, logFormat }: Settings, logger: Logger): void {
  const sentence = `The gateway serves every model of ${modelsFile} itself, so no worker is started.`;
  if (logFormat === 'json') logger.info(sentence);
  else context.write(`${pc.dim(`  ${sentence}`)}\n`);
}

function sayOwnWorker({ workers }: Settings, logger: Logger): void {
  logger.warn(
    { workers },
    'the gateway of `millrace serve` asks the worker beside it, and not those in `workers`; `millrace gateway` asks those',
  );
}

/** What is served, the chosen model first, and whom. */
async function lookAround(
  url: string,
  lookingKey: Record<string, string>,
  adminKey: Record<string, string>,
): Promise<{ models: readonly ModelBody[]; keys: KeysNeeded }> {
  const modelsWith = (headers: Record<string, string>) => askShortly(`${url}/v1/models`, headers);
  // A look without a key would be in the log and the records as a refusal, at every start.
  const count = await countKeys(url, adminKey);
  if (count !== 1) {
    const asStranger = await modelsWith({});
    if (asStranger.status !== 401) return { models: await modelsIn(asStranger), keys: 'nobody' };
  }
  const response = await modelsWith(lookingKey);
  // Whoever gave the gateway another admin key than this process sees has a service that works, and no list here.
  const models = response.status === 401 ? [] : await modelsIn(response);
  return { models, keys: count === 0 ? 'the first is to be made' : 'everybody' };
}

async function modelsIn(response: Response): Promise<readonly ModelBody[]> {
  if (!response.ok) throw new CommandError(`The gateway is ready, but answers /v1/models with ${response.status}.`);
  return modelListSchema.parse(await response.json()).data;
}

/** 1 stands for any; undefined: this process has not the admin key. */
async function countKeys(url: string, adminKey: Record<string, string>): Promise<0 | 1 | undefined> {
  if (Object.keys(adminKey).length === 0) return undefined;
  const response = await askShortly(`${url}/admin/keys?limit=1`, adminKey);
  if (!response.ok) return undefined;
  return keyListSchema.parse(await response.json()).data.length === 0 ? 0 : 1;
}

const ANSWER_TIMEOUT_MS = 15_000;

function askShortly(url: string, headers: Record<string, string>): Promise<Response> {
  return fetchGateway(url, { headers, signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) });
}
