import { InferenceError } from '@millrace/contracts';
import type { Logger } from '@millrace/runtime';
import { describe, expect, it } from 'vitest';
import { aCall } from '../call.testing.js';
import { ANYONE, type RequestRecord } from '../vocabulary.js';
import { RequestLog } from './request-log.js';

const text = (answer: string) => ({ kind: 'tokens' as const, index: 0, tokens: [1], text: answer });
const request = { model: { id: 'demo' }, prompts: [{ kind: 'text', text: 'question' }], bestOf: 1 };

function open(settings: { readonly logMessages: boolean }, keys: boolean | undefined) {
  const records: RequestRecord[] = [];
  let lines = '';
  const write = (fields: object, message: string) => {
    lines += `${message} ${JSON.stringify(fields)}\n`;
  };
  const logger = { info: write, error: write, isLevelEnabled: () => true } as unknown as Logger;
  const log = new RequestLog(logger, [(record) => records.push(record)], { messageBytesMax: 1_000, ...settings });
  const record = log.open('chat', aCall({ caller: { ...ANYONE, logMessages: keys } }));
  record.concerns(request as unknown as Parameters<typeof record.concerns>[0]);
  record.add(text('answer'));
  return { record, records, lines: () => lines };
}

describe('RequestLog', () => {
  it.each([
    [false, undefined, undefined],
    [true, undefined, 'answer'],
    [true, false, undefined],
    [false, true, 'answer'],
  ])('keeps contents as the key says, else as the setting says: %s, %s', (logMessages, keys, answer) => {
    const { record, records } = open({ logMessages }, keys);
    record.close();
    expect(records.map(({ contents }) => contents?.answer)).toEqual([answer]);
  });

  it('never writes contents into the log', () => {
    const { record, lines } = open({ logMessages: true }, true);
    record.close();
    expect(lines()).toContain('"model":"demo"');
    expect(lines()).not.toMatch(/question|answer/);
  });

  it('says nothing twice in a line of the log', () => {
    const { record, lines } = open({ logMessages: false }, undefined);
    record.close();
    expect(lines()).toContain('"requestId"');
    expect(lines()).not.toMatch(/recordId|arrivedAtMs/);
  });

  it('records the day of a request by the clock on the wall', () => {
    const { record, records } = open({ logMessages: false }, undefined);
    record.close();
    expect(Math.abs(records[0]!.arrivedAtMs - Date.now())).toBeLessThan(5_000);
  });

  it('says that an answer went on elsewhere, if it had begun before', () => {
    const { record, records } = open({ logMessages: false }, undefined);
    record.sentTo('second');
    record.close();
    const other = open({ logMessages: false }, undefined);
    other.record.fail(new InferenceError('internal_error', 'x'));
    other.record.close();
    expect([...records, ...other.records].map(({ continued }) => continued)).toEqual([true, false]);
  });
});
