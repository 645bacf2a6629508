import { describe, expect, it } from 'vitest';
import type { ChatPrompt } from '../chat-model.js';
import { ChatTemplates } from './chat-templates.js';

const NOW = new Date(Date.UTC(2024, 6, 26, 9, 5));

function templates(defaultTemplate: string | undefined, namedTemplates: Record<string, string> = {}): ChatTemplates {
  const texts = { beginningText: '<s>', endText: '</s>' };
  return new ChatTemplates({ key: '', defaultTemplate, namedTemplates, ...texts }, 5_000);
}

function chat(messages: ChatPrompt['messages'], more: Partial<ChatPrompt> = {}): ChatPrompt {
  return { kind: 'chat', messages, tools: [], templateVariables: {}, ...more };
}

function rendered(
  template: string | undefined,
  messages: ChatPrompt['messages'],
  more: Partial<ChatPrompt> = {},
): string {
  return templates(template).render(chat(messages, more), NOW).text;
}

const user = (content: unknown) => ({ role: 'user', content });
const assistant = (content: unknown, more: object = {}) => ({ role: 'assistant', content, ...more });
const call = (id: string, args: string) => ({ id, type: 'function', function: { name: 'f', arguments: args } });
const TOOL = { type: 'function', function: { name: 'f', description: 'Does.', parameters: { type: 'object' } } };

/** Prints every message in its shape, with roles, and knows tools. */
const PLAIN = `{%- if tools %}[{{ tools | tojson }}]{% endif -%}
{%- for message in messages %}<{{ message.role }}>{{ message.content }}{% for call in message.tool_calls or [] %}{{ call.function | tojson }}{% endfor %}{% endfor -%}
{%- if add_generation_prompt %}<assistant>{% endif -%}`;
/** Knows no tools, no calls, and no system. */
const BARE = `{%- if messages[0].role == 'system' %}{{ raise_exception('No system!') }}{% endif -%}
{%- for message in messages %}{% if (message.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate!') }}{% endif %}<{{ message.role }}>{{ message.content }}{% endfor %}<assistant>`;

describe('ChatTemplates', () => {
  it('writes ChatML when the model file has no template', () => {
    expect(rendered(undefined, [user('Hi')])).toContain('<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n');
  });

  it('says at the start that a template is not Jinja', () => {
    expect(() => templates('{% for %}')).toThrow(
      /^The model's chat template can't be read: .* `chatTemplate` in the models file\.$/,
    );
  });

  it('gives the template the texts of the beginning and end tokens, and the date, in English and UTC', () => {
    expect(rendered('{{ bos_token }}{{ messages[0].content }}{{ eos_token }}', [user('Hi')])).toBe('<s>Hi</s>');
    expect(rendered("{{ strftime_now('%d %b %Y, %A %H:%M') }}|{{ date_string }}", [user('')])).toBe(
      '26 Jul 2024, Friday 09:05|26 Jul 2024',
    );
  });

  it('answers a template that raises an exception with its sentence and the parameter', () => {
    expect(() => rendered(BARE, [user('a'), user('b')])).toThrow(
      expect.objectContaining({
        code: 'invalid_request',
        message: "The model's chat template refuses these messages: Roles must alternate! Change the messages.",
        details: expect.objectContaining({ param: 'messages' }),
      }),
    );
  });

  it('passes further variables, and says which names are taken', () => {
    expect(rendered('{{ style }} {{ messages[0].content }}', [user('Hi')], { templateVariables: { style: 'x' } })).toBe(
      'x Hi',
    );
    for (const name of ['messages', 'documents', 'namespace', 'raise_exception']) {
      expect(() => rendered(PLAIN, [user('Hi')], { templateVariables: { [name]: 1 } })).toThrow(
        expect.objectContaining({ details: { param: 'chat_template_kwargs' } }),
      );
    }
  });
});

describe('the shape of messages', () => {
  it('joins parts for a template that wants texts, and leaves them for one that wants parts', () => {
    const parts = [
      { type: 'text', text: 'one' },
      { type: 'text', text: 'two' },
    ];
    expect(rendered(PLAIN, [user(parts)])).toBe('<user>one\ntwo<assistant>');
    const typed = '{% for part in messages[0].content %}({{ part.text }}){% endfor %}';
    expect(rendered(typed, [user(parts)])).toBe('(one)(two)');
    expect(rendered(typed, [user('one')])).toBe('(one)');
  });

  it('refuses a part that is no text, and names it', () => {
    const image = { type: 'image_url', image_url: { url: 'x' } };
    expect(() => rendered(PLAIN, [user('a'), user([{ type: 'text', text: 'b' }, image])])).toThrow(
      expect.objectContaining({
        code: 'invalid_request',
        message: expect.stringContaining('`messages[1].content[1]` is a part of type `image_url`'),
        details: { param: 'messages[1].content[1]' },
      }),
    );
  });

  it('calls a developer system, and lets a system message join the first question where there is none', () => {
    expect(rendered(PLAIN, [{ role: 'developer', content: 'Be brief.' }, user('Hi')])).toBe(
      '<system>Be brief.<user>Hi<assistant>',
    );
    expect(rendered(BARE, [{ role: 'system', content: 'Be brief.' }, user('Hi')])).toBe(
      '<user>Be brief.\nHi<assistant>',
    );
    expect(rendered(BARE, [{ role: 'system', content: 'Be brief.' }])).toBe('<user>Be brief.<assistant>');
  });

  it('gives arguments as an object or as text, whichever the template is written for', () => {
    const messages = [user('a'), assistant(null, { tool_calls: [call('call_1', '{"city":"Köln"}')] })];
    expect(rendered(PLAIN, messages)).toContain('{"name": "f", "arguments": {"city": "Köln"}}');
    const concatenating = `{% for message in messages %}{{ message.content }}{% for call in message.tool_calls or [] %}{{ call.function.name + call.function.arguments }}{% endfor %}{% endfor %}{{ tools | tojson if tools }}`;
    expect(rendered(concatenating, messages)).toContain('f{"city":"Köln"}');
    const printing =
      '{% for message in messages %}{% for call in message.tool_calls or [] %}{{ call.function.arguments }}{% endfor %}{% endfor %}';
    const numbers = [user('a'), assistant('', { tool_calls: [call('call_1', '{"a":1.0,"b":[1,1.5]}')] })];
    expect(rendered(printing, numbers)).toBe("{'a': 1.0, 'b': [1, 1.5]}");
    // A model may have written what is no JSON.
    const broken = [user('a'), assistant(null, { tool_calls: [call('call_1', '{"city')] })];
    expect(rendered(PLAIN, broken)).toContain('"{\\"city"');
  });

  it('gives ids of nine letters and digits where the template insists, the same for call and result', () => {
    const mistral = `{% for message in messages %}{% for call in message.tool_calls or [] %}{% if call.id|length != 9 %}{{ raise_exception('length 9!') }}{% endif %}[{{ call.id }}]{{ call.function.arguments }}{% endfor %}{% if message.tool_call_id %}({{ message.tool_call_id }}){% endif %}{% endfor %}`;
    const messages = [
      user('a'),
      assistant(null, { tool_calls: [call('call_abcdefghijkl', '{}'), call('123456789', '{}')] }),
      { role: 'tool', tool_call_id: 'call_abcdefghijkl', content: 'x' },
    ];
    const [, first, second, result] = /^\[(\w{9})\]{}\[(\w{9})\]{}\((\w{9})\)$/.exec(rendered(mistral, messages))!;
    expect(result).toBe(first);
    expect(second).toBe('123456789');
  });
});

describe('tools', () => {
  it('are given in one form, and not at all when there are none', () => {
    const bare = { type: 'function', function: { name: 'g', strict: true } };
    expect(rendered(PLAIN, [user('a')], { tools: [bare] })).toContain(
      '[[{"type": "function", "function": {"name": "g", "description": "", "parameters": {}}}]]',
    );
    const asking = '{% if tools is defined %}defined{% else %}none{% endif %}';
    expect(rendered(asking, [user('a')])).toBe('none');
  });

  it('are described in a system message for a template that does not know them, with calls and results as texts', () => {
    const messages = [
      user('a'),
      assistant('I look.', { tool_calls: [call('1', '{"x":1}'), call('2', '{}')] }),
      { role: 'tool', tool_call_id: '1', content: 'one' },
      { role: 'tool', tool_call_id: '2', content: [{ type: 'text', text: 'two' }] },
    ];
    const text = rendered(BARE, messages, { tools: [TOOL] });
    expect(text).toContain(`<tools>\n${JSON.stringify(TOOL)}\n</tools>`);
    expect(text).toContain(
      '<assistant>I look.\n<tool_call>\n{"name": "f", "arguments": {"x":1}}\n</tool_call>\n<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>',
    );
    // One message of the user's, so that roles alternate.
    expect(text).toContain(
      '<user><tool_response>\none\n</tool_response>\n<tool_response>\ntwo\n</tool_response><assistant>',
    );
  });

  it('are described without a word on how to call where the model has a form of its own', () => {
    const deepseek = `{% for message in messages %}<{{ message.role }}>{% if message.content is none %}{% for call in message.tool_calls %}<｜tool▁calls▁begin｜>{{ call.function.name + call.function.arguments }}{% endfor %}{% else %}{{ message.content }}{% endif %}{% endfor %}`;
    const messages = [user('a'), assistant('', { tool_calls: [call('1', '{"x":1}')] })];
    const text = rendered(deepseek, messages, { tools: [TOOL] });
    expect(text).toContain('</tools><user>a<assistant><｜tool▁calls▁begin｜>f{"x":1}');
    expect(text).not.toContain('<tool_call>');
  });

  it('use the template that was made for them', () => {
    const both = templates('default', { tool_use: 'with {{ tools[0].function.name }}', rag: 'grounded' });
    expect(both.render(chat([user('a')]), NOW).text).toBe('default');
    expect(both.render(chat([user('a')], { tools: [TOOL] }), NOW).text).toBe('with f');
    expect(templates(undefined, { tool_use: 'only' }).render(chat([user('a')]), NOW).text).toBe('only');
  });
});

describe('documents', () => {
  const documents = [{ title: 'A', text: 'B' }];
  const RAG = '{% for document in documents %}{{ document.title }}{% endfor %}';

  it('use the template that was made for them, and the one that takes tools too when there are tools', () => {
    const generationOne = templates('default', { tool_use: 'tools: {{ tools[0].function.name }}', rag: RAG });
    expect(generationOne.render(chat([user('a')], { documents }), NOW).text).toBe('A');
    expect(() => generationOne.render(chat([user('a')], { documents, tools: [TOOL] }), NOW)).toThrow(
      expect.objectContaining({ code: 'invalid_request', details: { param: 'documents' } }),
    );
    const both = templates('default', { tool_use: `{{ tools[0].function.name if tools }}${RAG}`, rag: RAG });
    expect(both.render(chat([user('a')], { documents, tools: [TOOL] }), NOW).text).toBe('fA');
  });

  it('ask for citations, by whatever name the template has for it, unless the caller says otherwise', () => {
    const commandR = `${RAG} {{ citation_mode }}`;
    expect(rendered(commandR, [user('a')], { documents })).toBe('A accurate');
    expect(rendered(commandR, [user('a')], { documents, templateVariables: { citation_mode: 'fast' } })).toBe('A fast');
    expect(rendered(commandR, [user('a')])).toBe(' ');
    const r7b = `${RAG}{% if enable_citations %} with citations{% endif %}`;
    expect(rendered(r7b, [user('a')], { documents })).toBe('A with citations');
    expect(rendered(r7b, [user('a')], { documents, templateVariables: { enable_citations: false } })).toBe('A');
  });

  it('are refused by a template without a place for them', () => {
    expect(() => rendered(PLAIN, [user('a')], { documents })).toThrow(
      expect.objectContaining({ code: 'invalid_request', details: { param: 'documents' } }),
    );
  });
});

describe('reasoning', () => {
  const QWEN = `{% for message in messages %}<{{ message.role }}>{% if message.role == 'assistant' %}<think>\n{{ message.reasoning_content }}\n</think>\n\n{% endif %}{{ message.content }}{% endfor %}{% if add_generation_prompt %}<assistant>{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}`;
  const effort = (reasoningEffort: ChatPrompt['reasoningEffort']) => ({ reasoningEffort });

  it('is turned off and on by whatever name the template has for it', () => {
    expect(rendered(QWEN, [user('a')], effort('none'))).toBe('<user>a<assistant><think>\n\n</think>\n\n');
    expect(rendered(QWEN, [user('a')], effort('high'))).toBe('<user>a<assistant>');
    const granite = '{% if thinking %}thinks{% else %}does not{% endif %}';
    expect(rendered(granite, [user('a')])).toBe('does not');
    expect(rendered(granite, [user('a')], effort('low'))).toBe('thinks');
    const seed = '{{ thinking_budget if thinking_budget == 0 else "free" }}';
    expect(rendered(seed, [user('a')], effort('none'))).toBe('0');
    expect(rendered('{{ reasoning_effort }}', [user('a')], effort('medium'))).toBe('medium');
    const ownWord = { ...effort('none'), templateVariables: { enable_thinking: true } };
    expect(rendered(QWEN, [user('a')], ownWord)).toBe('<user>a<assistant>');
  });

  it('of earlier answers is given to the template', () => {
    expect(rendered(QWEN, [user('a'), assistant('b', { reasoning_content: 'c' }), user('d')])).toBe(
      '<user>a<assistant><think>\nc\n</think>\n\nb<user>d<assistant>',
    );
  });

  it('is closed before a text that is continued, or continued itself', () => {
    const continued = (message: object) => rendered(QWEN, [user('a'), assistant('', message)], { continueFinal: true });
    expect(continued({ content: ' One, ' })).toBe('<user>a<assistant><think>\n\n</think>\n\n One, ');
    expect(continued({ content: 'One,', reasoning_content: 'I count.' })).toBe(
      '<user>a<assistant><think>\nI count.\n</think>\n\nOne,',
    );
    expect(continued({ reasoning_content: 'I cou' })).toBe('<user>a<assistant><think>\nI cou');
  });
});

describe('continuing the last message', () => {
  it('goes on behind it, with its blanks, whatever the template trims', () => {
    const trimming = `{% for message in messages %}<{{ message.role }}>{{ message.content | trim }}</{{ message.role }}>{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}`;
    expect(rendered(trimming, [user('a'), assistant('One, two, ')], { continueFinal: true })).toBe(
      '<user>a</user><assistant>One, two, ',
    );
  });

  it.each([
    ['a user', [user('a')]],
    ['a call', [user('a'), assistant(null, { tool_calls: [call('1', '{}')] })]],
    ['nobody', []],
  ])('is refused where it is the message of %s', (_who, messages) => {
    expect(() => rendered(PLAIN, messages, { continueFinal: true })).toThrow(
      expect.objectContaining({ code: 'invalid_request', details: { param: 'continue_final_message' } }),
    );
  });
});

describe('Jinja as in Python', () => {
  it.each([
    ["{{ {'items': 1}.items() | list | length }}", '1'],
    ["{% for key, value in {'items': 2}.items() %}{{ key }}{{ value }}{% endfor %}", 'items2'],
    [
      "{{ true }} {{ [true, none, 'a', \"it's\"] }} {{ {'a': false} }}",
      "True [True, None, 'a', \"it's\"] {'a': False}",
    ],
    ["{{ missing + 'x' }}{{ missing | length }}{{ missing.items() }}{% for x in missing %}y{% endfor %}", 'x0'],
    ["{{ 'a{}c{}'.format('b', 1) }} {{ 'xxabx'.strip('x') }} {{ ', '.join(['a', 'b']) }}", 'abc1 ab a, b'],
    ['{% set list = [] %}{% set _ = list.append(1) %}{{ list }}{{ list.pop() }}{{ list }}', '[1]1[]'],
    ["{{ ['a', 'b'] | map('upper') | join('-') }} {{ ['a', 1] | select('string') | list }}", "A-B ['a']"],
    ["{{ {0: 'zero'}[0] }} {{ [3, 1] | min }} {{ none in ['a'] }} {{ 'ab' * 2 }}", 'zero 1 False abab'],
    ['{% for i in range(3) %}{% if i == 1 %}{% continue %}{% endif %}{{ i }}{% endfor %}', '02'],
    ["{{ {'b': 1.5, 'a': '<ü>'} | tojson }}", '{"b": 1.5, "a": "<ü>"}'],
  ])('renders %s', (template, text) => {
    expect(rendered(template, [user('a')])).toBe(text);
  });

  it('counts the levels of loops that are left early', () => {
    const leaving =
      '{% for i in range(2000) %}{% for j in range(3) %}{% if j == 1 %}{% break %}{% endif %}{% endfor %}{% endfor %}ok';
    expect(rendered(leaving, [user('a')])).toBe('ok');
  });
});
