import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ChatPrompt } from '../../chat-model.js';
import { ChatTemplates } from '../chat-templates.js';
import { DIFFERENCES } from './differences.testing.js';

/**
 * Our renderings beside llama.cpp's, of the same conversations with the same templates: those that lie in the source of
 * the engine. `make template-agreement` asks its server and writes the digests; with the texts that it leaves behind,
 * this test shows where two differ.
 */
const ROOT = join(import.meta.dirname, '../../../../../..');
const BUNDLE = join(ROOT, 'apps/worker/node_modules/node-llama-cpp/llama/gitRelease.bundle');
const NOW = new Date(Date.UTC(2024, 6, 26));
const TIME_LIMIT_MS = 10_000;

const conversations = read<Record<string, Partial<ChatPrompt>>>(join(import.meta.dirname, 'conversations.json'));
const recorded = read<{ beginning: string; end: string; digests: Record<string, Record<string, string>> }>(
  join(import.meta.dirname, 'digests.json'),
);

const missing = existsSync(BUNDLE) ? undefined : `${BUNDLE} is not installed`;

describe.skipIf(missing !== undefined)(`rendering as llama.cpp does (${missing ?? 'templates of its source'})`, () => {
  const folder = missing === undefined ? join(unpackedSource(), 'models/templates') : '';

  it.each(Object.keys(recorded.digests))('%s', (name) => {
    const source = readFileSync(join(folder, `${name}.jinja`), 'utf8');
    const templates = open(source);
    const expected = new Set(differencesOf(name, source));
    const wrong = Object.entries(recorded.digests[name]!).flatMap(([title, digest]) => {
      const ours = rendered(templates, title);
      const same = ours.digest === digest;
      if (same === !expected.has(title)) return [];
      return [
        same
          ? `${title}: agrees; take it off the list of differences`
          : `${title}: ${firstDifference(name, title, ours)}`,
      ];
    });
    expect(wrong).toEqual([]);
  });

  it('says why of templates and conversations that there are', () => {
    for (const { templates, conversations: titles } of DIFFERENCES) {
      if (typeof templates !== 'string')
        expect(Object.keys(recorded.digests)).toEqual(expect.arrayContaining([...templates]));
      expect(Object.keys(conversations)).toEqual(expect.arrayContaining([...titles]));
    }
  });
});

function open(defaultTemplate: string): ChatTemplates {
  const { beginning: beginningText, end: endText } = recorded;
  return new ChatTemplates({ key: '', defaultTemplate, namedTemplates: {}, beginningText, endText }, TIME_LIMIT_MS);
}

function rendered(templates: ChatTemplates, title: string): { text: string; digest: string } {
  const prompt: ChatPrompt = { kind: 'chat', messages: [], tools: [], templateVariables: {}, ...conversations[title] };
  try {
    // llama.cpp takes the beginning off, since its tokenizer puts it there.
    const text = withoutBeginning(templates.render(prompt, NOW).text);
    return { text, digest: `${text.length} ${createHash('sha256').update(text).digest('hex').slice(0, 16)}` };
  } catch (error) {
    return { text: (error as Error).message, digest: 'refused' };
  }
}

function withoutBeginning(text: string): string {
  return text.startsWith(recorded.beginning) ? text.slice(recorded.beginning.length) : text;
}

function differencesOf(name: string, source: string): string[] {
  return DIFFERENCES.filter(({ templates }) =>
    typeof templates === 'string' ? !/\bdocuments\b/.test(source) : templates.includes(name),
  ).flatMap(({ conversations: titles }) => [...titles]);
}

function firstDifference(name: string, title: string, ours: { text: string; digest: string }): string {
  const path = join(ROOT, '.millrace/template-agreement', `${name}.json`);
  if (ours.digest === 'refused') return `we refuse: ${ours.text}`;
  if (!existsSync(path)) return 'differs; run `make template-agreement` to see where';
  const theirs = read<Record<string, { text?: string; refused?: string }>>(path)[title];
  if (theirs?.text === undefined) return `llama.cpp refuses: ${theirs?.refused}`;
  let at = 0;
  while (at < theirs.text.length && theirs.text[at] === ours.text[at]) at++;
  const around = (text: string) => JSON.stringify(text.slice(Math.max(0, at - 40), at + 80));
  return `from character ${at} on, llama.cpp has ${around(theirs.text)}, we have ${around(ours.text)}`;
}

function unpackedSource(): string {
  return execFileSync(join(ROOT, 'tools/unpack-llama-cpp.sh'), { encoding: 'utf8' }).trim();
}

function read<Content>(path: string): Content {
  return JSON.parse(readFileSync(path, 'utf8')) as Content;
}
