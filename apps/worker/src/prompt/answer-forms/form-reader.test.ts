import { TOOL_CALLS_MAX } from '@millrace/contracts';
import { describe, expect, it } from 'vitest';
import { openReader } from './answer-form.js';
import { obeyed, planned, read, splits } from './answer-forms.testing.js';
import { BLANKS_HELD_MAX, CITED_SOURCES_MAX, HEAD_CHARACTERS_MAX, MARK_CHARACTERS_MAX } from './form-reader.js';
import { JSON_CHARACTERS_MAX } from './parameter-arguments.js';

const HERMES = '<think> <tool_call>';
const CODER = '<tool_call> <function= <parameter=';
const R7B = '<|START_ACTION|>';
const COMMAND_R = '<|CHATBOT_TOKEN|>';
const CALL = '<tool_call>{"name": "get_time", "arguments": {}}</tool_call>';

/** The most characters that were pushed and not yet decided, if a text comes one by one. */
function mostHeld(template: string, text: string): number {
  const reader = openReader(planned(template));
  let held = 0;
  for (const [at, character] of text.split('').entries()) {
    held = Math.max(held, at + 1 - reader.push(character).decided);
  }
  return held;
}

describe('what is held back', () => {
  it('is nothing of an ordinary text but blanks at its end', () => {
    expect(mostHeld(HERMES, 'some words, and (more) of them')).toBe(1);
    const reader = openReader(planned(HERMES));
    expect(reader.push('Hello')).toEqual({ text: 'Hello', shown: [[0, 5]], decided: 5 });
    expect(reader.push(' <to')).toMatchObject({ text: '', decided: 5 });
    expect(reader.push('p')).toMatchObject({ text: ' <top', shown: [[5, 10]], decided: 10 });
  });

  it('is as long as a mark with the blanks before it', () => {
    expect(mostHeld(HERMES, `${' '.repeat(1_000)}<tool_cal!`)).toBe(BLANKS_HELD_MAX + '<tool_cal'.length);
  });

  it('is nothing where nothing can come', () => {
    const reader = openReader(planned(HERMES, { tools: [] }));
    reader.push('x');
    expect(reader.push(' <tool_call \n')).toMatchObject({ text: ' <tool_call \n', decided: 14 });
  });

  it('is bounded where a mark has no end', () => {
    const opening = '{"name": '.padEnd(5_000, ' ');
    expect(mostHeld('<|start_header_id|> ipython', opening)).toBeLessThanOrEqual(MARK_CHARACTERS_MAX + BLANKS_HELD_MAX);
    expect(read(planned('<|start_header_id|> ipython'), opening.split('')).text).toBe(opening);
  });

  it('is bounded where a call has no arguments', () => {
    const opening = `<tool_call>{"id": "${'x'.repeat(2 * HEAD_CHARACTERS_MAX)}"`;
    const held = mostHeld(HERMES, opening);
    expect(held).toBeGreaterThan(HEAD_CHARACTERS_MAX / 2);
    expect(held).toBeLessThanOrEqual(HEAD_CHARACTERS_MAX + '<tool_call>'.length);
    expect(read(planned(HERMES), [opening]).text).toBe(opening);
    expect(read(planned(HERMES), opening.split('')).text).toBe(opening);
  });

  it('is bounded where a parameter may be JSON', () => {
    const value = `[${'1, '.repeat(JSON_CHARACTERS_MAX / 2)}1]`;
    const answer = `<tool_call><function=get_weather><parameter=days>${value}</parameter></function></tool_call>`;
    const chunks = answer.match(/.{1,999}/g)!;
    const [whole] = read(planned(CODER), [answer]).calls;
    expect(read(planned(CODER), chunks).calls).toEqual([whole]);
    expect(JSON.parse(whole!.arguments)).toEqual({ days: value });
  });

  it('is given back in full at the end', () => {
    const reader = openReader(planned(HERMES));
    reader.push('Hi <tool_');
    expect(reader.end()).toEqual({ text: ' <tool_', shown: [[2, 9]], decided: 9 });
  });
});

describe('blanks', () => {
  it('before a call are dropped, as many as are held', () => {
    const answer = `a${' '.repeat(BLANKS_HELD_MAX + 6)}${CALL}`;
    for (const pieces of splits(answer)) expect(read(planned(HERMES), pieces).text).toBe(`a${' '.repeat(6)}`);
  });

  it('before what turns out to be none are kept', () => {
    for (const pieces of splits('a\n\n<tool_call> b')) {
      expect(read(planned(HERMES), pieces).text).toBe('a\n\n<tool_call> b');
    }
  });
});

describe('how much there may be', () => {
  it('is as many calls as an answer may have; further ones are text', () => {
    const whole = read(planned(HERMES), [CALL.repeat(TOOL_CALLS_MAX + 1)]);
    expect(whole.calls).toHaveLength(TOOL_CALLS_MAX);
    expect(whole.text).toBe(CALL);
    const plan = planned(HERMES, { toolChoice: 'required' });
    expect(obeyed(plan, [CALL.repeat(TOOL_CALLS_MAX)])).toEqual({ refused: '', mayEnd: true });
    expect(obeyed(plan, [CALL.repeat(TOOL_CALLS_MAX), '<']).refused).toBe('<');
  });

  it('is as many sources as an answer may cite', () => {
    const plan = planned(R7B, { documents: [{}, {}, {}], tools: [] });
    const marks = '<co>a</co: 0:[0,1,2]>'.repeat(CITED_SOURCES_MAX / 3 + 1);
    const { citations, text } = read(plan, [marks]);
    expect(citations).toHaveLength(Math.floor(CITED_SOURCES_MAX / 3));
    expect(text.length).toBe(Math.floor(CITED_SOURCES_MAX / 3 + 1));
  });
});

describe('what the reader tells of itself', () => {
  it('is whether what comes is thought, and how many calls were opened', () => {
    const reader = openReader(planned(HERMES));
    const seen = ['<think>', 'a', '</think>', 'b', '<tool_call>{"name": "get_time",', ' "arguments": {', '}}'].map(
      (piece) => {
        reader.push(piece);
        return [reader.reasoning, reader.calls];
      },
    );
    expect(seen).toEqual([
      [true, 0],
      [true, 0],
      [false, 0],
      [false, 0],
      [false, 0],
      [false, 1],
      [false, 1],
    ]);
    expect(openReader(planned(HERMES, { rendered: '<think>\n' })).reasoning).toBe(true);
  });

  it('gives arguments out as they come', () => {
    const reader = openReader(planned(HERMES));
    reader.push('<tool_call>{"name": "get_weather", "arguments": {"ci');
    expect(reader.push('ty": "R').calls).toEqual([{ index: 0, arguments: 'ty": "R' }]);
    const coder = openReader(planned(CODER));
    coder.push('<tool_call><function=get_weather><parameter=city>\nR');
    expect(coder.push('o"m').calls).toEqual([{ index: 0, arguments: 'o\\"m' }]);
  });
});

describe('a grounded answer that is written twice', () => {
  const asked = { documents: [{}], tools: [], rendered: 'Grounded answer:' };
  const repeated = (plain: string, again: string) => `Answer: ${plain}\nGrounded answer: ${again}`;
  const cited = (plain: string, again: string) =>
    read(planned(COMMAND_R, asked), [repeated(plain, again)]).citations.map(({ start, end }) =>
      plain.slice(start, end),
    );

  it('has the same passage where it stands the second time', () => {
    expect(cited('a b a b', 'a b <co: 0>a</co: 0> b')).toEqual(['a']);
    const { citations } = read(planned(COMMAND_R, asked), [repeated('a b a b', 'a b <co: 0>a</co: 0> b')]);
    expect(citations[0]).toMatchObject({ start: 4, end: 5 });
  });

  it('finds what has moved a little, and nothing that is far away', () => {
    expect(cited('It is very old.', 'It is <co: 0>old</co: 0>.')).toEqual(['old']);
    const { citations } = read(planned(COMMAND_R, asked), [
      repeated('zz a b a', '<co: 0>yy</co: 0> a b <co: 0>a</co: 0>'),
    ]);
    expect(citations.map(({ start }) => start)).toEqual([7]);
    expect(cited(`${'x'.repeat(400)}old`, 'It is <co: 0>old</co: 0>.')).toEqual([]);
  });

  it('streams the plain answer before the second one begins', () => {
    const reader = openReader(planned(COMMAND_R, asked));
    reader.push('Relevant Documents: 0\nCited Documents: 0\n');
    expect(reader.push('Answer: Rome is').text).toBe('Rome is');
  });
});
