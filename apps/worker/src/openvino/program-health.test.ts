import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { healthIn } from './program-health.js';

describe('healthIn', () => {
  it('reads what the program says', () => {
    const body = { status: 'ok', models: [{ id: 'demo', detail: '', context: 8192 }] };
    expect(healthIn(JSON.stringify(body))).toEqual({ status: 'ok', detail: '', contextLength: 8_192 });
  });

  it.each([
    ['', undefined],
    ['<html>', undefined],
    ['null', undefined],
    ['{"status":"fine"}', undefined],
    ['{"status":"loading"}', { status: 'loading', detail: '', contextLength: 0 }],
    ['{"status":"ok","models":[{"context":-1,"detail":3}]}', { status: 'ok', detail: '', contextLength: 0 }],
    [`{"status":"ok","x":"${'y'.repeat(200_000)}"}`, undefined],
  ])('of %j makes %j', (text, expected) => {
    expect(healthIn(text)).toEqual(expected);
  });

  it('never throws', () => {
    fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (text) => void healthIn(text)));
  });
});
