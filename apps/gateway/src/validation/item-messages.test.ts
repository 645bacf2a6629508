import type { InputItem, ResponseItem } from '@millrace/contracts';
import { describe, expect, it } from 'vitest';
import { messagesOf } from './item-messages.js';
import { completeItems } from './response-items.js';

const user = (content: string): InputItem => ({ role: 'user', content });
const said = (content: string): InputItem => ({ role: 'assistant', content });
const thought = (text: string): InputItem => ({
  type: 'reasoning',
  summary: [],
  content: [{ type: 'reasoning_text', text }],
});
const call = (call_id: string, name = 'f'): InputItem => ({ type: 'function_call', call_id, name, arguments: '{}' });
const output = (call_id: string, text = `of ${call_id}`): InputItem => ({
  type: 'function_call_output',
  call_id,
  output: text,
});

const read = (...input: InputItem[]) => messagesOf(completeItems(input, new Map()));
const toolCall = (id: string, name = 'f') => ({ id, type: 'function', function: { name, arguments: '{}' } });
const result = (id: string) => ({ role: 'tool', tool_call_id: id, content: `of ${id}` });

describe('items become messages', () => {
  it('of every role, whose parts are joined', () => {
    const parts = ['one', 'two'].map((text) => ({ type: 'input_text' as const, text }));
    expect(
      read(
        { role: 'developer', content: 'Be brief.' },
        { type: 'message', role: 'system', content: parts },
        { role: 'user', content: parts },
        {
          role: 'assistant',
          content: [
            { type: 'output_text', text: 'Yes.' },
            { type: 'refusal', refusal: 'No.' },
          ],
        },
      ),
    ).toEqual([
      { role: 'developer', content: 'Be brief.' },
      { role: 'system', content: 'one\ntwo' },
      { role: 'user', content: 'one\ntwo' },
      { role: 'assistant', content: 'Yes.\nNo.' },
    ]);
  });

  it('of which thoughts, text and calls of one answer are one', () => {
    expect(read(user('?'), thought('Hm.'), said('Well.'), call('a'), call('b'), output('b'), output('a'))).toEqual([
      { role: 'user', content: '?' },
      { role: 'assistant', content: 'Well.', reasoning_content: 'Hm.', tool_calls: [toolCall('a'), toolCall('b')] },
      result('a'),
      result('b'),
    ]);
  });

  it('of which each answer is its own where a result lies between', () => {
    expect(read(call('a'), output('a'), call('b'), output('b'), said('Done.'), said('Really.'))).toEqual([
      { role: 'assistant', content: null, tool_calls: [toolCall('a')] },
      result('a'),
      { role: 'assistant', content: null, tool_calls: [toolCall('b')] },
      result('b'),
      { role: 'assistant', content: 'Done.' },
      { role: 'assistant', content: 'Really.' },
    ]);
  });

  it('of which text behind a call belongs to the answer that called, until that call is answered', () => {
    expect(read(user('?'), call('a'), said('Wait.'), output('a'), said('Done.'))).toEqual([
      { role: 'user', content: '?' },
      { role: 'assistant', content: 'Wait.', tool_calls: [toolCall('a')] },
      result('a'),
      { role: 'assistant', content: 'Done.' },
    ]);
    expect(read(said('First,'), call('a'), said('then'), call('b'), output('a'), output('b'))).toEqual([
      { role: 'assistant', content: 'First,\nthen', tool_calls: [toolCall('a'), toolCall('b')] },
      result('a'),
      result('b'),
    ]);
    expect(read(call('a'), call('b'), output('a'), said('Well.'), output('b'))).toEqual([
      { role: 'assistant', content: null, tool_calls: [toolCall('a'), toolCall('b')] },
      result('a'),
      result('b'),
      { role: 'assistant', content: 'Well.' },
    ]);
  });

  it('of which an answer that thinks between its texts, or between its calls, is one', () => {
    expect(read(user('?'), said('First.'), thought('Hm.'), said('Second.'), user('!'))).toEqual([
      { role: 'user', content: '?' },
      { role: 'assistant', content: 'First.\nSecond.', reasoning_content: 'Hm.' },
      { role: 'user', content: '!' },
    ]);
    expect(
      read(thought('One.'), thought('Two.'), call('a'), thought('Three.'), call('b'), output('a'), output('b')),
    ).toMatchObject([
      { content: null, reasoning_content: 'One.\nTwo.\nThree.', tool_calls: [toolCall('a'), toolCall('b')] },
      result('a'),
      result('b'),
    ]);
  });

  it('of which a search that told nothing of what it found parts no answer in two', () => {
    const search: InputItem = { type: 'file_search_call', status: 'completed', queries: ['tides'] };
    expect(read(user('?'), said('Let me see.'), search, said('Twelve.'), user('!'))).toEqual([
      { role: 'user', content: '?' },
      { role: 'assistant', content: 'Let me see.\nTwelve.' },
      { role: 'user', content: '!' },
    ]);
  });

  it('with thoughts that came as a summary alone, or with one beside them', () => {
    const summary = [{ type: 'summary_text' as const, text: 'In short.' }];
    expect(read({ type: 'reasoning', summary }, said('Well.'))).toEqual([
      { role: 'assistant', content: 'Well.', reasoning_content: 'In short.' },
    ]);
    expect(read({ ...thought('At length.'), summary } as InputItem, said('Well.'))).toEqual([
      { role: 'assistant', content: 'Well.', reasoning_content: 'At length.' },
    ]);
  });

  it('with each result right behind its call, wherever it came', () => {
    expect(read(call('a'), user('Wait.'), thought('Hm.'), call('b'), output('a'), output('b'))).toEqual([
      { role: 'assistant', content: null, tool_calls: [toolCall('a')] },
      result('a'),
      { role: 'user', content: 'Wait.' },
      { role: 'assistant', content: null, reasoning_content: 'Hm.', tool_calls: [toolCall('b')] },
      result('b'),
    ]);
  });

  it('though ids are given again once their calls were answered', () => {
    expect(read(call('a'), output('a'), call('a', 'g'), output('a'))).toMatchObject([
      { tool_calls: [{ function: { name: 'f' } }] },
      {},
      { tool_calls: [{ function: { name: 'g' } }] },
      {},
    ]);
  });

  it('with what a search found, and without one of which that is not known', () => {
    const search: InputItem = { type: 'file_search_call', status: 'completed', queries: ['tides'] };
    const found = [{ file_id: 'file-1', filename: 'a.txt', score: 0.5, text: 'High.' }];
    expect(read(user('?'), { ...search, id: 'fs_1', results: found }, search, said('High.'))).toEqual([
      { role: 'user', content: '?' },
      {
        role: 'assistant',
        content: null,
        tool_calls: [
          { ...toolCall('fs_1', 'file_search'), function: { name: 'file_search', arguments: '{"queries":["tides"]}' } },
        ],
      },
      { role: 'tool', tool_call_id: 'fs_1', content: '[{"file_id":"file-1","filename":"a.txt","text":"High."}]' },
      { role: 'assistant', content: 'High.' },
    ]);
  });

  it('without a call that was cut, of which there can be no output', () => {
    const cut: InputItem = { ...call('b'), status: 'incomplete' } as InputItem;
    expect(read(user('?'), said('Well.'), call('a'), cut, output('a'))).toEqual([
      { role: 'user', content: '?' },
      { role: 'assistant', content: 'Well.', tool_calls: [toolCall('a')] },
      result('a'),
    ]);
    expect(read(user('?'), cut)).toEqual([
      { role: 'user', content: '?' },
      { role: 'assistant', content: '' },
    ]);
    expect(read(cut, output('b'))).toHaveLength(2);
  });

  it.each([
    ['a call without output', [call('a'), user('?')], 'input', 'No tool output found for function call a.'],
    [
      'an output without call',
      [user('?'), output('a')],
      'input[1].call_id',
      'No tool call found for function call output',
    ],
    ['an output twice', [call('a'), output('a'), output('a')], 'input[2].call_id', 'No tool call found'],
    ['an output before its call', [output('a'), call('a')], 'input[0].call_id', 'No tool call found'],
    ['a call twice', [call('a'), call('a'), output('a')], 'input[1].call_id', '`input[1].call_id` is "a"'],
  ] as const)('but not %s', (_what, input, param, said) => {
    expect(() => read(...input)).toThrow(
      expect.objectContaining({ code: 'invalid_request', details: { param }, message: expect.stringContaining(said) }),
    );
  });

  it('with an output to a call that was made before', () => {
    const before: ResponseItem = {
      id: 'fc_1',
      type: 'function_call',
      call_id: 'a',
      name: 'f',
      arguments: '{}',
      status: 'completed',
    };
    const sent = completeItems([output('a')], new Map());
    expect(messagesOf([{ item: before }, ...sent])).toHaveLength(2);
    expect(() => messagesOf([{ item: before }])).toThrow(expect.objectContaining({ details: { param: 'input' } }));
  });
});

describe('an item in its complete form', () => {
  it('keeps the id that it has, and gets one where it has none', () => {
    const [own, made] = completeItems([{ role: 'user', id: 'msg_mine', content: '?' }, call('a')], new Map());
    expect(own!.item.id).toBe('msg_mine');
    expect(made!.item.id).toMatch(/^fc_[0-9a-f]{48}$/);
  });

  it('keeps all that OpenAI’s items have, though no model reads it', () => {
    const annotations = [
      { type: 'file_citation' as const, file_id: 'file-1', filename: 'a.txt', index: 3 },
      { type: 'url_citation' as const, url: 'http://a', title: 'A', start_index: 0, end_index: 3 },
      {
        type: 'container_file_citation' as const,
        container_id: 'cntr_1',
        file_id: 'cfile_1',
        filename: 'b.csv',
        start_index: 0,
        end_index: 3,
      },
      { type: 'file_path' as const, file_id: 'file-2', index: 4 },
    ];
    const chance = { token: 'Yes', logprob: -0.5, bytes: [89, 101, 115] };
    const logprobs = [{ ...chance, top_logprobs: [chance] }];
    const answer = { type: 'output_text' as const, text: 'Yes.', annotations, logprobs };
    const [said, thought, open] = completeItems(
      [
        { role: 'assistant', phase: 'final_answer', content: [answer] },
        { type: 'reasoning', summary: [], encrypted_content: 'gAAAA' },
        { role: 'assistant', phase: null, content: 'Well.' },
      ],
      new Map(),
    );
    expect(said!.item).toMatchObject({ phase: 'final_answer', content: [answer] });
    expect(thought!.item).toMatchObject({ encrypted_content: 'gAAAA' });
    expect(open!.item).not.toHaveProperty('phase');
  });

  it('has what clients leave out of citations and log-probabilities', () => {
    const [said] = completeItems(
      [
        {
          role: 'assistant',
          content: [
            {
              type: 'output_text',
              text: 'Yes.',
              annotations: [{ type: 'file_citation', file_id: 'file-1', index: 3 }],
              logprobs: [{ token: 'Yes', logprob: -0.5 }],
            },
          ],
        },
      ],
      new Map(),
    );
    expect(said!.item).toMatchObject({
      content: [
        {
          annotations: [{ type: 'file_citation', file_id: 'file-1', filename: '', index: 3 }],
          logprobs: [{ token: 'Yes', logprob: -0.5, bytes: [], top_logprobs: [] }],
        },
      ],
    });
  });

  it.each([
    [
      'input_image',
      { role: 'user' as const, content: [{ type: 'input_image' as const, image_url: 'x' }] },
      'content[0]',
    ],
    [
      'input_file',
      {
        type: 'function_call_output' as const,
        call_id: 'a',
        output: [{ type: 'input_text' as const, text: '' }, { type: 'input_file' as const }],
      },
      'output[1]',
    ],
  ])('has no %s', (type, item, where) => {
    expect(() => completeItems([user('?'), item], new Map())).toThrow(
      expect.objectContaining({
        code: 'unsupported_parameter',
        details: { param: `input[1].${where}` },
        message: expect.stringContaining(`is of type ${type}`),
      }),
    );
  });
});
