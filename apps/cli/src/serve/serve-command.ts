import { type ModelBody, modelListSchema, type SettingTable } from '@millrace/contracts';
import { createLogger, loadSettings, terminationRequested } from '@millrace/runtime';
import pc from 'picocolors';
import { type Command, type CommandContext, CommandError } from '../command.js';
import { banner } from './banner.js';
import { Service } from './service.js';

const own = {} as const satisfies SettingTable;

export const serveCommand: Command = {
  usage: '[settings]',
  about:
    'Starts one worker (the engine) and one gateway (the OpenAI API) as two processes, says when they are ready, starts again what dies, and on Ctrl-C lets running answers finish.',
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
  const service = new Service({
    loaded,
    logger,
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
      const models = await servedModels(started.url);
      if (logFormat === 'json') logger.info({ url: started.url, models: models.map(({ id }) => id) }, 'ready');
      else context.write(banner(started.url, models));
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

/** The chosen one comes first. */
async function servedModels(url: string): Promise<readonly ModelBody[]> {
  const response = await fetch(`${url}/v1/models`);
  if (!response.ok) throw new CommandError(`The gateway is ready, but answers /v1/models with ${response.status}.`);
  return modelListSchema.parse(await response.json()).data;
}
