import { boolean, optionalDecimal, optionalInteger, optionalText, type SettingTable } from '@millrace/contracts';
import { loadSettings } from '@millrace/runtime';
import { type Command, type CommandContext, CommandError, OWN } from '../command.js';
import { trustGateway } from '../fetch-gateway.js';
import { gatewayUrl, urlOfGateway } from '../gateway-address.js';
import { bearerOf } from '../gateway-keys.js';
import { ask, type Question, type Reply } from './ask.js';
import { converse } from './converse.js';

const own = {
  user: optionalText({ ...OWN, why: 'One question: its answer goes to standard output, and the command ends.' }),
  system: optionalText({ ...OWN, why: 'A system message before the conversation.' }),
  model: optionalText({ ...OWN, why: "The model's name, as `millrace models` lists it. Absent: the default model." }),
  temperature: optionalDecimal({ ...OWN, min: 0, max: 2, unit: 'none', why: '0 takes the likeliest token each time.' }),
  maxTokens: optionalInteger({ ...OWN, min: 1, max: 10_485_760, unit: 'tokens', why: 'The longest answer.' }),
  url: optionalText({ ...OWN, why: 'The server, such as http://10.0.0.5:8000. Absent: `host` and `port`.' }),
  json: boolean({
    ...OWN,
    default: false,
    why: 'With --user: prints one JSON object with answer, model, usage and latency_ms instead of the text.',
  }),
} as const satisfies SettingTable;

export const chatCommand: Command = {
  usage: '[--user TEXT] [--system TEXT] [--model NAME] [--json]',
  about:
    'A conversation with a model at a prompt, or with --user one question. At the prompt: /clear forgets the conversation, /exit leaves; Ctrl-C stops an answer, and at the prompt it leaves.',
  own,
  settings: ['host', 'port', 'apiKey'],
  examples: [
    'millrace chat',
    'millrace chat --user "What is the capital of France?"',
    'millrace chat --user "Count to five." --temperature 0 --json',
  ],
  run: chat,
};

async function chat(context: CommandContext): Promise<number> {
  const { args, environment, workingFolder } = context;
  const loaded = loadSettings({ reader: 'cli', args, environment, workingFolder, own });
  const { user, system, model, temperature, maxTokens, url, json } = loaded.own;
  trustGateway(loaded.settings);
  const question: Question = {
    url: url === undefined ? gatewayUrl(loaded.settings) : urlOfGateway(url),
    headers: bearerOf(loaded.settings.apiKey),
    model,
    temperature,
    maxTokens,
    messages: system === undefined ? [] : [{ role: 'system', content: system }],
  };
  if (user !== undefined) return askOnce(context, question, user, json);
  if (json) throw new CommandError('--json prints the answer to one question. Say which: --user "…".');
  return converse(question, { input: process.stdin, output: process.stdout });
}

async function askOnce(context: CommandContext, before: Question, user: string, json: boolean): Promise<number> {
  const question: Question = { ...before, messages: [...before.messages, { role: 'user', content: user }] };
  const neverAborted = new AbortController().signal;
  const reply = await ask(question, json ? () => undefined : context.write, neverAborted);
  context.write(json ? `${JSON.stringify(toJson(reply))}\n` : '\n');
  return 0;
}

function toJson({ answer, model, usage, latencyMs }: Reply): Record<string, unknown> {
  return {
    answer,
    model,
    usage: usage ?? null,
    latency_ms: { first_token: rounded(latencyMs.firstToken), total: rounded(latencyMs.total) },
  };
}

function rounded(milliseconds: number | undefined): number | null {
  return milliseconds === undefined ? null : Math.round(milliseconds * 10) / 10;
}
