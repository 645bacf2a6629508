import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { InferenceError } from '@millrace/contracts';
import type { Logger } from '@millrace/runtime';
import { afterEach, describe, expect, it } from 'vitest';
import type { ChatModel } from '../chat-model.js';
import { openChatModel } from '../open-chat-model.js';
import { PromptProcess, type PromptProcessLimits } from './prompt-process.js';

/** The process is started as it is built: Node doesn't run our sources as they stand. */
const entry = new URL('../../../dist/prompt/process/prompt-process-main.js', import.meta.url);
const never = new AbortController().signal;
const opened: PromptProcess[] = [];
let warnings: string[] = [];

afterEach(async () => {
  await Promise.all(opened.splice(0).map((process) => process.close()));
  warnings = [];
});

interface Asked {
  readonly templateTimeoutMs?: number;
  readonly limits?: Partial<PromptProcessLimits>;
  readonly entry?: URL;
}

function start({ templateTimeoutMs = 2_000, ...asked }: Asked = {}): PromptProcess {
  const logger = { warn: (_fields: object, sentence: string) => warnings.push(sentence) } as unknown as Logger;
  const process = new PromptProcess({ entry, ...asked, templateTimeoutMs, logger });
  opened.push(process);
  return process;
}

function model(template: string, work: PromptProcess): Promise<ChatModel> {
  const texts = { beginningText: '', endText: '' };
  return openChatModel({ defaultTemplate: template, namedTemplates: {}, ...texts, work }, never);
}

function chat(content = 'Hi', templateVariables: Record<string, unknown> = {}) {
  return { kind: 'chat' as const, messages: [{ role: 'user', content }], tools: [], templateVariables };
}

const refused = (sentence: RegExp, code = 'invalid_request') =>
  expect.objectContaining({ code, message: expect.stringMatching(sentence) });

/** Does what the caller's variable asks, so that one template does both: what is harmless, and what is not. */
const HOSTILE = `{%- set ns = namespace(text='ab', list=[1, 2]) -%}
{%- if how == 'loop' %}{% for i in range(1000) %}{% for j in range(1000) %}{% for k in range(1000) %}{% endfor %}{% endfor %}{% endfor %}{% endif -%}
{%- if how == 'text' %}{% for i in range(60) %}{% set ns.text = ns.text + ns.text %}{% endfor %}{% endif -%}
{%- if how == 'list' %}{% for i in range(60) %}{% set ns.list = ns.list + ns.list %}{% endfor %}{% endif -%}
{%- if how == 'append' %}{% for i in range(5000) %}{% for j in range(5000) %}{% set _ = ns.list.append(i) %}{% endfor %}{% endfor %}{% endif -%}
{%- if how == 'deep' %}{% macro deep() %}{{ deep() }}{% endmacro %}{{ deep() }}{% endif -%}
{%- if how == 'memory' %}{% for i in range(23) %}{% set ns.text = ns.text + ns.text %}{% endfor %}{{ ns.text.split('a') | length }}{% endif -%}
{%- if how == 'nest' %}{% for i in range(60) %}{% set ns.list = [ns.list, ns.list] %}{% endfor %}{{ ns.list | tojson }}{% endif -%}
{%- if how == 'throw' %}{{ raise_exception('No!') }}{% endif -%}
<{{ messages[0].content }}>`;

describe('PromptProcess, as it was built', () => {
  it('is there', () => {
    expect(existsSync(entry), 'run `make build` first').toBe(true);
  });

  it('renders, prepares and compiles', async () => {
    const spoken = await model('<{{ messages[0].content }}>', start());
    expect(await spoken.render(chat('Hi 😀'), never)).toBe('<Hi 😀>');
    const prepared = await spoken.prepare(chat(), { kind: 'json' }, never);
    expect(prepared.text).toBe('<Hi>');
    expect(prepared.openReader().binding?.grammar).toContain('root ::=');
    expect(await spoken.compile({ kind: 'json' }, never)).toContain('root ::=');
  });

  it('says at opening that a template is not Jinja', async () => {
    await expect(model('{% for %}', start())).rejects.toThrow(
      /^The model's chat template can't be read: .* `chatTemplate` in the models file\.$/,
    );
  });

  it.each([
    [
      'loops',
      '{% for i in range(1000) %}{% for j in range(1000) %}{% for k in range(1000) %}{% endfor %}{% endfor %}{% endfor %}',
    ],
    ['calls itself', '{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}'],
  ])('says at opening that a template %s without end', async (_how, template) => {
    const work = start({ templateTimeoutMs: 300 });
    await expect(model(template, work)).rejects.toThrow(
      /^The model's chat template can't be used, since it fails for the shortest chats\. /,
    );
    const spoken = await model('<{{ messages[0].content }}>', work);
    expect(await spoken.render(chat('next'), never)).toBe('<next>');
  });

  it('opens a model while others fill the line', async () => {
    const work = start({ templateTimeoutMs: 1_000, limits: { waitingMax: 1 } });
    const spoken = await model(HOSTILE, work);
    const busy = spoken.render(chat('', { how: 'loop' }), never).catch((error) => error);
    const waiting = spoken.render(chat('waits'), never);
    const other = await model('({{ messages[0].content }})', work);
    await busy;
    expect([await waiting, await other.render(chat(), never)]).toEqual(['<waits>', '(Hi)']);
  });

  it('takes the errors of a template and of a schema across', async () => {
    const spoken = await model(HOSTILE, start());
    await expect(spoken.render(chat('', { how: 'throw' }), never)).rejects.toEqual(
      refused(/^The model's chat template refuses these messages: No! Change the messages\.$/),
    );
    const error = await spoken.compile({ kind: 'schema', schema: { type: 'nonsense' } }, never).catch((one) => one);
    expect(error).toBeInstanceOf(InferenceError);
    expect(error).toMatchObject({ code: 'invalid_request', details: { param: expect.stringContaining('schema') } });
  });

  it.each([
    ['loop', /^The model's chat template took longer than 500 ms/],
    ['text', /makes a text of more than 16,777,216 characters/],
    ['list', /makes a list of [\d,]+ items; 1,000,000 are accepted/],
    ['append', /makes a list of [\d,]+ items; 1,000,000 are accepted|took longer than 500 ms/],
    ['deep', /^The model's chat template calls itself without end/],
  ])('ends a template that is hostile by %s with a sentence, and goes on', async (how, sentence) => {
    const spoken = await model(HOSTILE, start({ templateTimeoutMs: 500 }));
    await expect(spoken.render(chat('', { how }), never)).rejects.toEqual(refused(sentence));
    expect(await spoken.render(chat('next'), never)).toBe('<next>');
    expect(warnings).toEqual([]);
  });

  it('starts anew when its memory is full; who waited is answered by the new process', async () => {
    const spoken = await model(HOSTILE, start({ templateTimeoutMs: 20_000, limits: { memoryLimitMib: 64 } }));
    const hostile = spoken.render(chat('', { how: 'memory' }), never);
    const others = [spoken.render(chat('one'), never), spoken.render(chat('two'), never)];
    await expect(hostile).rejects.toEqual(refused(/needs more memory than the 64 MiB/));
    expect(await Promise.all(others)).toEqual(['<one>', '<two>']);
    expect(warnings).toEqual(['The process that renders prompts died; it starts again.']);
  });

  it('is ended when it is busy with what it can not interrupt', async () => {
    const work = start({ templateTimeoutMs: 300 });
    const spoken = await model(HOSTILE, work);
    await expect(spoken.render(chat('', { how: 'nest' }), never)).rejects.toEqual(
      refused(/takes longer than 300 ms \(templateTimeoutMs\)/),
    );
    expect(await spoken.render(chat('next'), never)).toBe('<next>');
    expect(warnings).toEqual(['A chat template or schema took too long; its process starts again.']);
  });

  it('lets only so many wait, and only so much', async () => {
    const work = start({ templateTimeoutMs: 1_000, limits: { waitingMax: 2, waitingCharactersMax: 5_000 } });
    const spoken = await model(HOSTILE, work);
    const busy = spoken.render(chat('', { how: 'loop' }), never).catch((error) => error);
    const first = spoken.render(chat('x'.repeat(4_000)), never);
    await expect(spoken.render(chat('y'.repeat(4_000)), never)).rejects.toEqual(
      refused(/would be more than 5,000\. Retry shortly\.$/, 'rate_limit_exceeded'),
    );
    const second = spoken.render(chat('z'), never);
    await expect(spoken.render(chat('w'), never)).rejects.toEqual(
      refused(/^2 prompts wait to be rendered already/, 'rate_limit_exceeded'),
    );
    await busy;
    expect([(await first).length, await second]).toEqual([4_002, '<z>']);
  });

  it('does not begin what was given up while it waited', async () => {
    const spoken = await model(HOSTILE, start({ templateTimeoutMs: 1_000, limits: { memoryLimitMib: 64 } }));
    const busy = spoken.render(chat('', { how: 'loop' }), never).catch((error) => error);
    const leaving = new AbortController();
    // Begun, it would end the process, and that would be told.
    const left = spoken.render(chat('', { how: 'memory' }), leaving.signal);
    leaving.abort(new Error('gone'));
    await expect(left).rejects.toThrow('gone');
    await busy;
    expect(await spoken.render(chat('next'), never)).toBe('<next>');
    expect(warnings).toEqual([]);
  });

  it('lets nobody wait for longer than a while', async () => {
    const spoken = await model(HOSTILE, start({ templateTimeoutMs: 1_000, limits: { waitMaxMs: 50 } }));
    const busy = spoken.render(chat('', { how: 'loop' }), never).catch((error) => error);
    await expect(spoken.render(chat(), never)).rejects.toEqual(refused(/waited 50 ms/, 'rate_limit_exceeded'));
    await busy;
  });

  it('fails what runs and waits when it is closed, and takes nothing more', async () => {
    const work = start({ templateTimeoutMs: 20_000 });
    const spoken = await model(HOSTILE, work);
    const running = spoken.render(chat('', { how: 'loop' }), never);
    const waiting = spoken.render(chat(), never);
    const both = Promise.allSettled([running, waiting]);
    await work.close();
    for (const { reason } of (await both) as PromiseRejectedResult[]) {
      expect(reason).toMatchObject({ code: 'model_not_ready' });
    }
    await expect(spoken.render(chat(), never)).rejects.toMatchObject({ code: 'model_not_ready' });
  });

  it('says that it does not start', async () => {
    const missing = start({ entry: new URL('./there-is-none.js', entry) });
    await expect(model('{{ 1 }}', missing)).rejects.toThrow('The process that renders prompts does not start.');
  });
});

describe.skipIf(process.platform !== 'linux')(
  'the prompt process (children of a process are told by Linux only)',
  () => {
    it('starts anew when somebody ends it, and does again what it was at', async () => {
      const spoken = await model(HOSTILE, start({ templateTimeoutMs: 1_000 }));
      const outcome = spoken.render(chat('', { how: 'loop' }), never).catch((error) => error);
      for (const child of promptProcesses()) process.kill(child, 'SIGKILL');
      // What is its own fault is found by the new process.
      expect(await outcome).toEqual(refused(/^The model's chat template took longer than 1,000 ms/));
      expect(await spoken.render(chat('next'), never)).toBe('<next>');
      expect(warnings).toEqual(['The process that renders prompts was ended; it starts again.']);
    });

    it('ends with the worker, even if that is killed', async () => {
      const module = new URL('./prompt-process.js', entry).href;
      const worker = spawn(process.execPath, ['--input-type=module', '-e', WORKER, module]);
      const [line] = (await once(worker.stdout, 'data')) as [Buffer];
      expect(line.toString()).toBe('"root"');
      const child = Number(readFileSync(`/proc/${worker.pid}/task/${worker.pid}/children`, 'utf8').trim());
      expect(existsSync(`/proc/${child}`)).toBe(true);
      worker.kill('SIGKILL');
      await expect.poll(() => existsSync(`/proc/${child}`), { timeout: 10_000 }).toBe(false);
    });
  },
);

/** The prompt processes that this process started, whichever of its threads did. */
function promptProcesses(): number[] {
  const threads = readdirSync('/proc/self/task');
  const children = threads.flatMap((thread) => readFileSync(`/proc/self/task/${thread}/children`, 'utf8').split(' '));
  return children
    .filter((child) => child.trim() !== '' && readFileSync(`/proc/${child}/cmdline`, 'utf8').includes(entry.pathname))
    .map(Number);
}

/** Has one grammar compiled, and goes on. */
const WORKER = `
  const { PromptProcess } = await import(process.argv[1]);
  const work = new PromptProcess({ templateTimeoutMs: 5000, logger: {} });
  const grammar = await work.do({ kind: 'compile', format: { kind: 'json' } }, new AbortController().signal);
  process.stdout.write(JSON.stringify(grammar.slice(0, 4)));
`;
