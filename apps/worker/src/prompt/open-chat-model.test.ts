import { describe, expect, it } from 'vitest';
import { openChatModel } from './open-chat-model.js';
import { PromptsHere } from './process/prompts-here.testing.js';

const never = new AbortController().signal;
const TOOL = { type: 'function', function: { name: 'look', parameters: { type: 'object', properties: {} } } };
const HERMES = `{% if tools %}{{ tools | tojson }} <tool_call>{% endif %}{% for message in messages %}<{{ message.role }}>{{ message.content }}{% endfor %}{{ strftime_now('%Y') }}`;

function open(defaultTemplate: string, namedTemplates: Record<string, string> = {}) {
  const now = () => new Date(Date.UTC(2024, 6, 26));
  const texts = { beginningText: '', endText: '' };
  return openChatModel({ defaultTemplate, namedTemplates, ...texts, work: new PromptsHere(), now }, never);
}

function chat(more: object = {}) {
  const messages = [{ role: 'user', content: 'Hi' }];
  return { kind: 'chat' as const, messages, tools: [TOOL], templateVariables: {}, ...more };
}

describe('openChatModel', () => {
  it('names the marks of all its templates', async () => {
    const model = await open('{{ messages[0].content }}', { tool_use: HERMES });
    expect(model.marks).toEqual(expect.arrayContaining(['<tool_call>', '</tool_call>']));
    expect(new Set(model.marks).size).toBe(model.marks.length);
  });

  it('prepares a prompt, and a reader for each answer to it', async () => {
    const model = await open(HERMES);
    const prepared = await model.prepare(chat({ toolChoice: 'required' }), undefined, never);
    expect(prepared.text).toMatch(/<user>Hi2024$/);
    const [first, second] = [prepared.openReader(), prepared.openReader()];
    expect(first.binding?.grammar).toContain('look');
    first.push('<tool_call>\n{"name": "look", "arguments": {}}\n</tool_call>');
    first.end();
    expect([first.calls, second.calls]).toEqual([1, 0]);
  });

  it('tells a template the time that its prompt brings, and else that of the clock', async () => {
    const model = await open(HERMES);
    const nowSeconds = Date.UTC(2019, 1, 3) / 1000;
    const prompts = [chat(), chat({ nowSeconds })];
    const prepared = await Promise.all(prompts.map((prompt) => model.prepare(prompt, undefined, never)));
    expect(prepared.map(({ text }) => text.slice(-4))).toEqual(['2024', '2019']);
    expect(await model.render(chat({ nowSeconds }), never)).toMatch(/2019$/);
  });

  it('compiles formats for prompts that are no chat', async () => {
    const model = await open(HERMES);
    expect(await model.compile({ kind: 'json' }, never)).toContain('root ::=');
    await expect(model.compile({ kind: 'grammar', grammar: 'no grammar' }, never)).rejects.toMatchObject({
      code: 'invalid_request',
    });
  });
});
