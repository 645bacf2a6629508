import { describe, expect, it } from 'vitest';
import { traceContextOf } from './trace-context.js';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const PARENT = 'b7ad6b7169203331';

describe('traceContextOf', () => {
  it.each([
    ['a plain one', `00-${TRACE}-${PARENT}-01`, TRACE],
    ['one of a later version, with more in it', `01-${TRACE}-${PARENT}-01-more`, TRACE],
    ['none', undefined, undefined],
    ['one of version ff', `ff-${TRACE}-${PARENT}-01`, undefined],
    ['capital letters', `00-${TRACE.toUpperCase()}-${PARENT}-01`, undefined],
    ['a trace of zeros', `00-${'0'.repeat(32)}-${PARENT}-01`, undefined],
    ['a parent of zeros', `00-${TRACE}-${'0'.repeat(16)}-01`, undefined],
    ['more than version 00 has', `00-${TRACE}-${PARENT}-01-more`, undefined],
    ['something else', 'hello', undefined],
  ])('reads %s', (_what, traceparent, traceId) => {
    expect(traceContextOf({ traceparent })?.traceId).toBe(traceId);
  });

  it('carries a tracestate of up to 512 characters', () => {
    const traceparent = `00-${TRACE}-${PARENT}-01`;
    expect(traceContextOf({ traceparent, tracestate: 'a=1' })?.tracestate).toBe('a=1');
    expect(traceContextOf({ traceparent, tracestate: `a=${'x'.repeat(511)}` })?.tracestate).toBe('');
  });
});
