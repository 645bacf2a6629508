import { existsSync } from 'node:fs';
import { createLogger } from '@millrace/runtime';
import { afterEach, describe, expect, it } from 'vitest';
import { openChatModel } from '../open-chat-model.js';
import { PromptProcess, type PromptProcessLimits } from './prompt-process.js';

/** The process is started as it is built: Node doesn't run our sources as they stand. */
const entry = new URL('../../../dist/prompt/process/prompt-process-main.js', import.meta.url);
const never = new AbortController().signal;
const opened: PromptProcess[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((process) => process.close()));
});

function start(templateTimeoutMs = 2_000, limits: Partial<PromptProcessLimits> = {}): PromptProcess {
  const logger = createLogger({ name: 'test', level: 'silent', format: 'json' });
  const process = new PromptProcess({ templateTimeoutMs, logger, limits, entry });
  opened.push(process);
  return process;
}

function model(template: string, work: PromptProcess) {
  const texts = { beginningText: '', endText: '' };
  return openChatModel({ defaultTemplate: template, namedTemplates: {}, ...texts, work }, never);
}

function chat(content: string, templateVariables: Record<string, unknown> = {}) {
  return { kind: 'chat' as const, messages: [{ role: 'user', content }], tools: [], templateVariables };
}

describe('PromptProcess, as it was built', () => {
  it('is there', () => {
    expect(existsSync(entry), 'run `make build` first').toBe(true);
  });

  it('renders', async () => {
    const spoken = await model('<{{ messages[0].content }}>', start());
    expect(await spoken.render(chat('Hi 😀'), never)).toBe('<Hi 😀>');
  });
});
