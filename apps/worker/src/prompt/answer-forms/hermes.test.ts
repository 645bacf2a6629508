import { describe, expect, it } from 'vitest';
import { obeyed, planned, read, splits } from './answer-forms.testing.js';

const TEMPLATE = '<think></think><tool_call>';

const table: Record<string, [string, Partial<ReturnType<typeof read>>]> = {
  text: ['Hello <b>you</b>, {"a": 1} 🎉\n', { text: 'Hello <b>you</b>, {"a": 1} 🎉\n' }],
  reasoning: ['<think>\nI think.\n</think>\n\nHello', { reasoning: 'I think.', text: 'Hello' }],
  'one call': [
    '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Köln \\"}\\u00e9\\n"}}\n</tool_call>',
    { calls: [{ name: 'get_weather', arguments: '{"city": "Köln \\"}\\u00e9\\n"}' }] },
  ],
};

describe('hermes', () => {
  for (const [name, [answer, expected]] of Object.entries(table)) {
    it(`reads ${name}, however it is split`, () => {
      const plan = planned(TEMPLATE);
      for (const pieces of splits(answer)) {
        expect([pieces, read(plan, pieces)]).toEqual([
          pieces,
          { text: '', reasoning: '', calls: [], citations: [], ...expected },
        ]);
      }
    });
  }

  it('binds a call where it opens', () => {
    const plan = planned(TEMPLATE);
    expect(
      obeyed(plan, ['Hi', '<tool_call>', '\n', '{"name": "get_', 'time"', ', "arguments": {}}', '\n</tool_call>']),
    ).toEqual({
      refused: '',
      mayEnd: true,
    });
    expect(obeyed(plan, ['<tool_', 'call>', '{"name": "get_', 'lost"']).refused).toBe('lost"');
    expect(obeyed(planned(TEMPLATE, { toolChoice: 'required' }), ['Hi']).refused).toBe('Hi');
  });
});
