import { describe, expect, it } from 'vitest';
import { readBatchLine } from './read-batch-line.js';

const CHAT = '/v1/chat/completions';
const good = { custom_id: 'a', method: 'POST', url: CHAT, body: { messages: [] } };

function read(line: unknown, lineBytesMax = 1_000) {
  const content =
    typeof line === 'string' || Buffer.isBuffer(line) ? Buffer.from(line as string) : Buffer.from(JSON.stringify(line));
  return readBatchLine({ content, bytes: content.length }, CHAT, lineBytesMax);
}

describe('a line of a batch', () => {
  it('is a request', () => {
    expect(read(good)).toEqual({
      kind: 'request',
      customId: 'a',
      body: { messages: [] },
      bodyBytes: JSON.stringify(good).length,
    });
    expect(read(`  ${JSON.stringify(good)}\t`)).toMatchObject({ kind: 'request', customId: 'a' });
    expect(read({ ...good, body: { stream: false } })).toMatchObject({ kind: 'request' });
  });

  it('is passed over when it is blank', () => {
    for (const blank of ['', ' ', '\t\r']) expect(read(blank)).toEqual({ kind: 'blank' });
  });

  it.each([
    ['{"custom_id": "a"', 'invalid_json_line', null, null],
    ['[1]', 'invalid_json_line', null, null],
    ['null', 'invalid_json_line', null, null],
    [Buffer.from([0x7b, 0xff, 0x7d]), 'invalid_json_line', null, null],
    [{ ...good, custom_id: undefined }, 'missing_required_parameter', 'custom_id', null],
    [{ ...good, custom_id: 7 }, 'invalid_request', 'custom_id', null],
    [{ ...good, custom_id: '' }, 'invalid_request', 'custom_id', null],
    [{ ...good, custom_id: 'x'.repeat(513) }, 'invalid_request', 'custom_id', null],
    [{ ...good, method: undefined }, 'missing_required_parameter', 'method', 'a'],
    [{ ...good, method: 'GET' }, 'invalid_method', 'method', 'a'],
    [{ ...good, url: '/v1/embeddings' }, 'invalid_url', 'url', 'a'],
    [{ ...good, url: { no: 'text' } }, 'invalid_url', 'url', 'a'],
    [{ ...good, body: undefined }, 'missing_required_parameter', 'body', 'a'],
    [{ ...good, body: [] }, 'invalid_request', 'body', 'a'],
    [{ ...good, body: { stream: true } }, 'invalid_request', 'body.stream', 'a'],
    [{ ...good, more: 1 }, 'unknown_parameter', 'more', 'a'],
    ['{"__proto__": {"custom_id": "a"}}', 'missing_required_parameter', 'custom_id', null],
  ])('is broken: %j', (line, code, param, customId) => {
    expect(read(line)).toMatchObject({ kind: 'broken', customId, error: { code, param } });
  });

  it('is broken where parsing it would hold up everybody else', () => {
    const metadata = Object.fromEntries(Array.from({ length: 100_001 }, (_, index) => [`k${index}`, 1]));
    const error = { code: 'invalid_json_line', message: expect.stringContaining('more than 100,000 names of fields') };
    expect(read({ ...good, body: { metadata } })).toMatchObject({ kind: 'broken', customId: null, error });
  });

  it('that is quoted is text that any database takes', () => {
    const quotes = ['{"a": x\0', '😀 hello', { ...good, ['\0'.repeat(3)]: 1 }, { ...good, [`${'x'.repeat(99)}😀`]: 1 }];
    for (const quoted of [...quotes, { ...good, url: `${'x'.repeat(98)}😀` }]) {
      const line = read(quoted);
      const told = line.kind === 'broken' ? `${line.error.message} ${line.error.param}` : '';
      expect(told).toMatch(/./);
      expect(told).not.toContain('\0');
      expect(told.isWellFormed()).toBe(true);
    }
  });

  it('is broken when it is longer than is read, with both numbers', () => {
    expect(readBatchLine({ content: undefined, bytes: 2_000_000 }, CHAT, 1_000)).toMatchObject({
      error: { code: 'line_too_long', message: expect.stringMatching(/2,000,000 .* 1,000/) },
    });
  });
});
