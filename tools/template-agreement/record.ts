/**
 * Asks llama.cpp's own server how it renders every conversation of the table with every chat template that lies in its
 * source, and writes down the digests, which a test compares with our renderings.
 *
 *     node tools/template-agreement/record.ts LLAMA_SERVER TEMPLATES_FOLDER MODEL [part of a template's name]
 *
 * The texts themselves are kept in .millrace/template-agreement, so that the test can show where two differ.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const ROOT = join(import.meta.dirname, '../..');
const AGREEMENT = join(ROOT, 'apps/worker/src/prompt/templates/agreement');
const TEXTS = join(ROOT, '.millrace/template-agreement');
const START_TIMEOUT_MS = 60_000;
/** Today, in the ways that templates write it, is replaced by this day, so that a rendering stays the same. */
const DAY = new Date(Date.UTC(2024, 6, 26));
const DATE_FORMATS: readonly ((date: Date) => string)[] = [
  (date) => date.toISOString().slice(0, 10),
  (date) => inEnglish(date, { day: '2-digit', month: 'short', year: 'numeric' }),
  (date) => inEnglish(date, { day: '2-digit', month: 'long', year: 'numeric' }),
  (date) => `${inEnglish(date, { month: 'short' })} ${inEnglish(date, { day: '2-digit' })} ${date.getUTCFullYear()}`,
  (date) => `${inEnglish(date, { month: 'long' })} ${inEnglish(date, { day: '2-digit' })}, ${date.getUTCFullYear()}`,
];

interface Conversation {
  readonly messages: readonly object[];
  readonly tools?: readonly object[];
  readonly documents?: readonly object[];
  readonly templateVariables?: object;
  readonly continueFinal?: boolean;
  readonly reasoningEffort?: string;
}

type Rendered = { readonly text: string } | { readonly refused: string };

const [server, folder, model, part = ''] = process.argv.slice(2);
if (server === undefined || folder === undefined || model === undefined) {
  throw new Error('Usage: record.ts LLAMA_SERVER TEMPLATES_FOLDER MODEL [part of a name]');
}
const conversations = JSON.parse(readFileSync(join(AGREEMENT, 'conversations.json'), 'utf8')) as Record<
  string,
  Conversation
>;
const templates = readdirSync(folder).filter((name) => name.endsWith('.jinja') && name.includes(part));
mkdirSync(TEXTS, { recursive: true });
const digests: Record<string, Record<string, string>> = {};
const texts = { beginning: '', end: '' };
for (const file of templates.sort()) {
  const name = basename(file, '.jinja');
  const rendered = await withServer(server, model, join(folder, file), renderAll);
  writeFileSync(join(TEXTS, `${name}.json`), JSON.stringify(rendered, null, 1));
  digests[name] = Object.fromEntries(Object.entries(rendered).map(([title, text]) => [title, digestOf(text)]));
  process.stdout.write(`${name}: ${Object.values(rendered).filter((text) => 'text' in text).length} rendered\n`);
}
if (part === '') {
  const { version } = JSON.parse(
    readFileSync(join(ROOT, 'apps/worker/node_modules/node-llama-cpp/package.json'), 'utf8'),
  ) as { version: string };
  const recorded = {
    about: `llama.cpp of node-llama-cpp ${version}; written by make template-agreement`,
    ...texts,
    digests,
  };
  writeFileSync(join(AGREEMENT, 'digests.json'), `${JSON.stringify(recorded, null, 1)}\n`);
}

async function renderAll(url: string): Promise<Record<string, Rendered>> {
  const props = (await (await fetch(`${url}/props`)).json()) as { bos_token: string; eos_token: string };
  Object.assign(texts, { beginning: props.bos_token, end: props.eos_token });
  const rendered: Record<string, Rendered> = {};
  for (const [title, conversation] of Object.entries(conversations)) rendered[title] = await render(url, conversation);
  return rendered;
}

async function render(url: string, conversation: Conversation): Promise<Rendered> {
  const { messages, tools, documents, templateVariables, continueFinal, reasoningEffort } = conversation;
  const body = {
    messages,
    ...(tools && { tools }),
    chat_template_kwargs: { ...templateVariables, ...(documents && { documents }) },
    ...(reasoningEffort && { reasoning_effort: reasoningEffort }),
    ...(continueFinal && { continue_final_message: true, add_generation_prompt: false }),
  };
  const response = await fetch(`${url}/apply-template`, { method: 'POST', body: JSON.stringify(body) });
  const answer = (await response.json()) as { prompt?: string; error?: { message: string } };
  if (answer.prompt === undefined) return { refused: answer.error?.message ?? `status ${response.status}` };
  return { text: withFixedDay(answer.prompt) };
}

function withFixedDay(text: string): string {
  const today = new Date();
  return DATE_FORMATS.reduce((changed, format) => changed.replaceAll(format(today), format(DAY)), text);
}

function inEnglish(date: Date, fields: Intl.DateTimeFormatOptions): string {
  // British: the day comes first.
  return new Intl.DateTimeFormat('en-GB', { ...fields, timeZone: 'UTC' }).format(date);
}

/** Enough to tell two texts apart; a text that is refused has neither. */
function digestOf(rendered: Rendered): string {
  if ('refused' in rendered) return 'refused';
  return `${rendered.text.length} ${createHash('sha256').update(rendered.text).digest('hex').slice(0, 16)}`;
}

async function withServer<Result>(
  program: string,
  modelPath: string,
  template: string,
  use: (url: string) => Promise<Result>,
): Promise<Result> {
  const port = await freePort();
  const args = ['-m', modelPath, '--chat-template-file', template, '--port', String(port), '-c', '512', '-np', '1'];
  const child = spawn(program, [...args, '--no-warmup'], { env: { TZ: 'UTC' }, stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-2_000);
  });
  try {
    const url = `http://127.0.0.1:${port}`;
    await untilHealthy(url, child, () => said);
    return await use(url);
  } finally {
    child.kill('SIGKILL');
  }
}

async function untilHealthy(url: string, child: ChildProcess, said: () => string): Promise<void> {
  const endsAt = Date.now() + START_TIMEOUT_MS;
  while (Date.now() < endsAt && child.exitCode === null) {
    const response = await fetch(`${url}/health`).catch(() => undefined);
    if (response?.ok) return;
    await sleep(50);
  }
  throw new Error(`llama-server did not start within ${START_TIMEOUT_MS} ms. It said: ${said()}`);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
