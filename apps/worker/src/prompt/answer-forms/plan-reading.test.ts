import { InferenceError, type OutputFormat } from '@millrace/contracts';
import { describe, expect, it } from 'vitest';
import type { ChatPrompt } from '../chat-model.js';
import { REMEMBERED_MAX, Remembered } from '../json-schema/remembered.js';
import { openReader } from './answer-form.js';
import { type Asked, obeyed, planned, read, tool, WEATHER } from './answer-forms.testing.js';
import { planReading, rememberBindings } from './plan-reading.js';

const HERMES = '<tool_call>';
const THINKS = '<think> <tool_call>';
const LLAMA = '<|start_header_id|> ipython';
const COMMAND_R = '<|CHATBOT_TOKEN|>';

const NUMBERS: OutputFormat = { kind: 'schema', schema: { type: 'array', items: { type: 'integer' } } };
const CALL = ['<tool_call>', '\n{"na', 'me": "get_', 'time", "argum', 'ents": {', '}}', '\n</tool_call>'];
const BEST = { refused: '', mayEnd: true };

function refusal(asked: Asked): InferenceError {
  try {
    planned(HERMES, asked);
  } catch (error) {
    if (error instanceof InferenceError) return error;
  }
  throw new Error('not refused');
}

describe('where the model may choose', () => {
  it('leaves text free, and binds a call from where it opens', () => {
    const plan = planned(HERMES);
    expect(obeyed(plan, ['Anything <tool', ' goes'])).toEqual(BEST);
    expect(obeyed(plan, ['Well: ', ...CALL])).toEqual(BEST);
    expect(obeyed(plan, ['<tool_call>', '\n{"name": "get_', 'lost"']).refused).toBe('lost"');
    expect(obeyed(plan, ['<tool_call>', '{"name": "get_weather", "arguments": {', '}']).refused).toBe('}');
    expect(
      obeyed(plan, ['<tool_call>', '{"name": "get_weather", "arguments": {"city": "R", ', '"color"']).refused,
    ).toBe('"color"');
    expect(obeyed(plan, ['<tool_call>', '\n']).mayEnd).toBe(false);
  });

  it('tells what of a call was written in the token that opened it', () => {
    const reader = openReader(planned(HERMES));
    reader.push('Well <tool_');
    expect(reader.binding).toBeUndefined();
    reader.push('call>\n{"na');
    expect(reader.binding?.derived).toBe('<tool_call>\n{"na');
    const bound = reader.binding;
    reader.push('me": ');
    expect(reader.binding).toBe(bound);
  });

  it('binds further calls by what binds the first, and only one where there may be one', () => {
    expect(obeyed(planned(HERMES), [...CALL, '\n', ...CALL])).toEqual(BEST);
    expect(obeyed(planned(HERMES, { parallelCalls: false }), [...CALL, '\n']).refused).toBe('\n');
    expect(obeyed(planned(HERMES, { parallelCalls: false }), CALL)).toEqual(BEST);
    const reader = openReader(planned(HERMES));
    reader.push(CALL.join(''));
    const bound = reader.binding;
    reader.push(CALL.join(''));
    expect([reader.calls, reader.binding === bound]).toEqual([2, true]);
  });

  it('is free again where a call turns out to be none', () => {
    const reader = openReader(planned(HERMES));
    reader.push('<tool_call>');
    expect(reader.binding).toBeDefined();
    expect(reader.push(' tags').text).toBe('<tool_call> tags');
    expect(reader.binding).toBeUndefined();
  });

  it('binds JSON only where it begins with the name of a tool', () => {
    const reader = openReader(planned(LLAMA));
    reader.push('{"name": "');
    expect(reader.binding?.derived).toBe('{"name": "');
    const other = openReader(planned(LLAMA));
    other.push('{"name": "R');
    expect(other.binding).toBeUndefined();
  });

  it('lets Command-R decline, unless it must call', () => {
    const decline = ['Action:\n```json\n[', '\n    {"tool_name": "directly', '_answer", "parameters": {}}', '\n]```'];
    expect(obeyed(planned(COMMAND_R), decline)).toEqual(BEST);
    expect(obeyed(planned(COMMAND_R, { toolChoice: 'required' }), decline).refused).toContain('directly');
  });

  it('has one call in an answer of Llama, whose template refuses more', () => {
    const call = '{"name": "get_time", "parameters": {}}';
    expect(obeyed(planned(LLAMA), [call, ';']).refused).toBe('');
    expect(planned(`${LLAMA} This model only supports single tool-calls at once!`).parallelCalls).toBe(false);
    expect(obeyed(planned(`${LLAMA} only supports single tool-calls at once!`), [call, ';']).refused).toBe(';');
  });

  it('reads nothing as a call without tools, or where none may be called', () => {
    expect(planned(HERMES, { tools: [] })).toMatchObject({ tools: [], bindings: {} });
    expect(planned(HERMES, { toolChoice: 'none' })).toMatchObject({ tools: [], bindings: {} });
  });
});

describe('where the model must call', () => {
  it('is bound from the first character on', () => {
    const plan = planned(HERMES, { toolChoice: 'required' });
    expect(obeyed(plan, ['Hello']).refused).toBe('Hello');
    expect(obeyed(plan, [...CALL, '\n', ...CALL])).toEqual(BEST);
    expect(obeyed(plan, [])).toEqual({ refused: '', mayEnd: false });
  });

  it('calls the tool that is named, and only once', () => {
    const plan = planned(HERMES, { toolChoice: { name: 'get_time' } });
    expect(obeyed(plan, CALL)).toEqual(BEST);
    expect(obeyed(plan, [...CALL, '\n']).refused).toBe('\n');
    expect(obeyed(plan, ['<tool_call>', '{"name": "get_w']).refused).toBe('{"name": "get_w');
  });

  it('thinks before it calls', () => {
    const free = planned(THINKS, { toolChoice: 'required' });
    expect(obeyed(free, ['<think>', 'Anything', '</think>', '\n\n', ...CALL])).toEqual(BEST);
    expect(obeyed(free, CALL)).toEqual(BEST);
    expect(obeyed(free, ['<think>', '</think>\n', 'Hello']).refused).toBe('Hello');
    const opened = planned(THINKS, { toolChoice: 'required', rendered: '<think>\n' });
    expect(obeyed(opened, ['Anything', '</think>', '\n\n', ...CALL])).toEqual(BEST);
    expect(obeyed(opened, ['Anything', '</think>', '\n\nHello']).refused).toBe('\n\nHello');
    const closed = planned(THINKS, { toolChoice: 'required', rendered: '<think>\n\n</think>\n\n' });
    expect(obeyed(closed, ['<think>']).refused).toBe('<think>');
    expect(obeyed(closed, CALL)).toEqual(BEST);
  });
});

describe('a format', () => {
  it('binds the text, behind what is thought', () => {
    expect(obeyed(planned(HERMES, { tools: [], format: NUMBERS }), ['[1, 2]'])).toEqual(BEST);
    expect(obeyed(planned(HERMES, { tools: [], format: NUMBERS }), ['One']).refused).toBe('One');
    const thinks = planned(THINKS, { tools: [], format: NUMBERS });
    expect(obeyed(thinks, ['<think>', 'One', '</think>\n', '\n', '[1]'])).toEqual(BEST);
    expect(obeyed(thinks, ['<think>', 'One', '</think>', 'One']).refused).toBe('One');
    expect(read(thinks, ['<think>\nOne\n</think>\n\n[1]'])).toMatchObject({ reasoning: 'One', text: '[1]' });
  });

  it('leaves the way to a call open', () => {
    const plan = planned(HERMES, { format: NUMBERS });
    expect(obeyed(plan, ['[1, 2]'])).toEqual(BEST);
    expect(obeyed(plan, CALL)).toEqual(BEST);
    expect(obeyed(plan, ['Hello']).refused).toBe('Hello');
  });

  it('stands behind the marks that its text has', () => {
    const oss = planned('<|channel|>analysis<|message|>', { tools: [], format: NUMBERS });
    const think = ['<|channel|>analysis<|message|>', 'One', '<|end|>'];
    expect(obeyed(oss, [...think, '<|start|>', 'assistant', '<|channel|>', 'final', '<|message|>', '[1]'])).toEqual(
      BEST,
    );
    expect(obeyed(oss, [...think, '<|start|>assistant<|channel|>commentary']).refused).toContain('commentary');
    expect(obeyed(oss, ['[1]']).refused).toBe('[1]');
    const r7b = planned('<|START_RESPONSE|>', { tools: [], format: NUMBERS });
    expect(obeyed(r7b, ['<|START_RESPONSE|>', '[1]'])).toEqual(BEST);
    expect(obeyed(r7b, ['[1]'])).toEqual(BEST);
    expect(obeyed(r7b, ['<|START_RESPONSE|>', 'One']).refused).toBe('One');
  });

  it('does not pass for a call with wrong arguments', () => {
    const plan = planned(LLAMA, { format: { kind: 'json' } });
    expect(obeyed(plan, ['{"name": "Rome"', ', "parameters": 7}'])).toEqual(BEST);
    expect(obeyed(plan, ['{"name": "get_time"', ', "parameters": ', '7}']).refused).toBe('7}');
  });

  it('may be a grammar of the caller, whose rules keep to themselves', () => {
    const grammar = 'root ::= x0 "!"{2,3} [^a-y]?\nx0 ::= "yes" | "no" # root ::= "?"\n';
    const plan = planned(THINKS, { format: { kind: 'grammar', grammar } });
    for (const answer of ['yes!!', 'no!!!z']) expect(obeyed(plan, [answer])).toEqual(BEST);
    expect(obeyed(plan, ['no!!!a']).refused).toBe('no!!!a');
    expect(obeyed(plan, ['<think>', 'Hm', '</think>', '\nyes!!'])).toEqual(BEST);
    expect(obeyed(plan, CALL)).toEqual(BEST);
    expect(planned(HERMES, { tools: [], format: { kind: 'grammar', grammar } }).bindings.first).toBe(grammar);
  });
});

describe('an answer that goes on', () => {
  const messages = (content: string) => [{ role: 'assistant', content }];

  it('is in mid-text, where nothing is opened', () => {
    const plan = planned(THINKS, { continueFinal: true, messages: messages('<think>a</think>So'), rendered: '…So' });
    expect(read(plan, [' <think>b'])).toMatchObject({ text: ' <think>b', reasoning: '' });
  });

  it('goes on thinking', () => {
    const plan = planned(THINKS, { continueFinal: true, messages: messages('<think>a'), rendered: '…<think>a' });
    expect(read(plan, ['b</think>c'])).toMatchObject({ reasoning: 'b', text: 'c' });
  });
});

describe('a tool that requires what it does not declare', () => {
  it('is called with it', () => {
    const stale = tool('f', { type: 'object', properties: { a: { type: 'string' } }, required: ['a', 'b'] });
    const plan = planned(HERMES, { tools: [stale] });
    const call = (written: object) => `<tool_call>{"name": "f", "arguments": ${JSON.stringify(written)}}</tool_call>`;
    expect(obeyed(plan, call({ a: 'x', b: 1 }).split(''))).toEqual(BEST);
    expect(obeyed(plan, call({ a: 'x' }).split('')).refused).not.toBe('');
    expect(obeyed(plan, call({ a: 'x', b: 1, c: 1 }).split('')).refused).not.toBe('');
  });
});

describe('parameters that are written one by one', () => {
  const parameter = (name: string, value: string) => `<parameter=${name}>\n${value}\n</parameter>\n`;
  const mayBe = (schema: object, parameters: string) => {
    const plan = planned('<tool_call> <function= <parameter=', { tools: [tool('f', schema)], toolChoice: 'required' });
    const answer = `<tool_call>\n<function=f>\n${parameters}</function>\n</tool_call>`;
    const { refused, mayEnd } = obeyed(plan, answer.split(''));
    return refused === '' && mayEnd && read(plan, [answer]).calls[0]!.arguments;
  };
  const TEXTS = { type: 'object', properties: { a: { type: 'string' }, b: { type: 'string' } } };
  const [a, b] = [parameter('a', 'x'), parameter('b', 'y')];

  it('are those of one branch', () => {
    const either = { ...TEXTS, anyOf: [{ required: ['a'] }, { required: ['b'] }] };
    expect([a, b, a + b, ''].map((written) => mayBe(either, written))).toEqual([
      '{"a": "x"}',
      '{"b": "y"}',
      '{"a": "x", "b": "y"}',
      false,
    ]);
    const one = { ...TEXTS, oneOf: either.anyOf };
    expect([a, b, a + b, ''].map((written) => mayBe(one, written))).toEqual(['{"a": "x"}', '{"b": "y"}', false, false]);
  });

  it('are JSON where a branch says that they may be no text', () => {
    const branch = (kind: string, value: object) => ({
      properties: { kind: { const: kind }, value },
      required: ['kind'],
    });
    const schema = { type: 'object', anyOf: [branch('n', { type: 'integer' }), branch('s', { type: 'string' })] };
    const kind = (name: string) => parameter('kind', name);
    expect(mayBe(schema, kind('s') + parameter('value', '"7"'))).toBe('{"kind": "s", "value": "7"}');
    expect(mayBe(schema, kind('s') + parameter('value', '7'))).toBe(false);
    expect(mayBe(schema, kind('n') + parameter('value', '7'))).toBe('{"kind": "n", "value": 7}');
  });

  it('are at least one where that is demanded', () => {
    const some = { ...TEXTS, minProperties: 1 };
    expect([a, b, a + b, ''].map((written) => mayBe(some, written) !== false)).toEqual([true, true, true, false]);
  });

  it('have few branches', () => {
    const pair = (at: number) => ({ anyOf: [{ required: [`a${at}`] }, { required: [`b${at}`] }] });
    const schema = { type: 'object', allOf: [0, 1, 2, 3, 4, 5, 6].map(pair) };
    expect(() => mayBe(schema, '')).toThrow(/at most 64 branches/);
  });
});

describe('a tool that is refused', () => {
  it('is told with the keyword that is not supported', () => {
    const wrong = tool('wrong', { type: 'object', properties: { a: { not: { const: 1 } } } });
    expect(refusal({ tools: [WEATHER, wrong] })).toMatchObject({
      code: 'invalid_request',
      details: { param: 'tools[1].function.parameters.properties.a.not' },
    });
  });

  it.each([
    ['no object', { type: 'string' }],
    ['nothing', { type: 'object', properties: { a: false }, required: ['a'] }],
    [
      'nothing that ends',
      {
        $ref: '#/$defs/a',
        $defs: { a: { type: 'object', properties: { a: { $ref: '#/$defs/a' } }, required: ['a'] } },
      },
    ],
  ])('allows %s', (_, parameters) => {
    expect(refusal({ tools: [tool('a', parameters)] })).toMatchObject({
      details: { param: 'tools[0].function.parameters' },
    });
  });

  it('begins its branches alike for too long', () => {
    const branch = (at: number) => ({
      type: 'object',
      properties: { items: { type: 'array', items: { $ref: '#/$defs/node' } }, [`z${at}`]: { const: at } },
      required: ['items', `z${at}`],
    });
    const parameters = {
      type: 'object',
      properties: { node: { $ref: '#/$defs/node' } },
      $defs: { node: { anyOf: Array.from({ length: 8 }, (_, at) => branch(at)) } },
    };
    expect(refusal({ tools: [tool('a', parameters)] }).message).toContain('begin alike');
  });

  it('is one of too many large ones', () => {
    const parameters = (at: number) => ({
      type: 'object',
      properties: Object.fromEntries(
        Array.from({ length: 400 }, (_, i) => [`property_${at}_${i}_${'x'.repeat(40)}`, { type: 'string' }]),
      ),
    });
    const tools = Array.from({ length: 128 }, (_, at) => tool(`tool_${at}`, parameters(at)));
    const { details, message } = refusal({ tools });
    expect(details.param).toBe('tools');
    expect(message).toMatch(/^The 128 tools .* more than [\d,]+ .*Offer fewer tools/);
  });
});

describe('many tools', () => {
  it('share a grammar', () => {
    const tools = Array.from({ length: 128 }, (_, at) =>
      tool(`tool_${at}`, { type: 'object', properties: { [`a${at}`]: { type: 'string' } } }),
    );
    const plan = planned(HERMES, { tools, toolChoice: 'required' });
    expect(obeyed(plan, ['<tool_call>{"name": "tool_12', '7", "arguments": {"a127": "x"}}</tool_call>'])).toEqual(BEST);
    expect(obeyed(plan, ['<tool_call>{"name": "tool_127", "arguments": {', '"a12"']).refused).toBe('"a12"');
  });

  it('are as many as several MCP servers have together', () => {
    const parameters = (at: number) => ({
      type: 'object',
      properties: {
        [`path_${at}`]: { type: 'string', description: 'Where it is.' },
        limit: { type: 'integer', minimum: 1, maximum: 100 },
        kind: { enum: ['file', 'folder', 'link'] },
        labels: { type: 'array', items: { type: 'string' } },
        options: { type: 'object', properties: { deep: { type: 'boolean' } } },
      },
      required: [`path_${at}`],
    });
    const tools = Array.from({ length: 200 }, (_, at) => tool(`mcp__server__tool_${at}`, parameters(at)));
    const plan = planned(HERMES, { tools, toolChoice: 'required' });
    const call = ['<tool_call>{"name": "mcp__server__tool_199', '", "arguments": {"path_199": "x"}}</tool_call>'];
    expect(obeyed(plan, call)).toEqual(BEST);
  });

  it('need no parameters', () => {
    const plan = planned(HERMES, {
      tools: [tool('a'), tool('b', {}), tool('c', { properties: {} })],
      toolChoice: 'required',
    });
    const call = (name: string) => [`<tool_call>{"name": "${name}", "arguments": {`, '"x": 1', '}}</tool_call>'];
    expect(obeyed(plan, call('a')).refused).not.toBe('');
    expect(obeyed(plan, call('b'))).toEqual(BEST);
    expect(obeyed(plan, call('c')).refused).not.toBe('');
  });
});

describe('what is remembered', () => {
  it('is not compiled again for the same tools', () => {
    const remembered = rememberBindings();
    const plan = (rendered: string, more: Partial<ChatPrompt> = {}) => {
      const prompt: ChatPrompt = {
        kind: 'chat',
        messages: [],
        templateVariables: {},
        tools: [structuredClone(WEATHER)],
        ...more,
      };
      planReading('hermes', HERMES, { prompt, rendered, format: undefined }, remembered);
      return remembered.size;
    };
    expect([plan('a'), plan('b'), plan('b', { parallelCalls: false }), plan('c', { parallelCalls: false })]).toEqual([
      1, 1, 2, 2,
    ]);
  });

  it('forgets the oldest, by count and by length', () => {
    const remembered = new Remembered<string>(({ length }) => length);
    for (let at = 0; at <= REMEMBERED_MAX; at++) remembered.get(`${at}`, () => 'x');
    expect(remembered.size).toBe(REMEMBERED_MAX);
    expect(remembered.get('1', () => 'again')).toBe('x');
    expect(remembered.get('0', () => 'again')).toBe('again');
    const large = 'x'.repeat(5_000_000);
    remembered.get('large', () => large);
    remembered.get('larger', () => large);
    expect(remembered.size).toBe(1);
  });
});
