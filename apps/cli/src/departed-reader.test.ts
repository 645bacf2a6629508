import { EventEmitter } from 'node:events';
import { describe, expect, it } from 'vitest';
import { endWhenReaderLeaves } from './departed-reader.js';

describe('endWhenReaderLeaves', () => {
  it('ends without a word when the reader of a pipe has left, and hides nothing else', () => {
    const output = new EventEmitter();
    let ended = 0;
    endWhenReaderLeaves(output, () => {
      ended += 1;
    });
    output.emit('error', Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
    expect(ended).toBe(1);
    expect(() => output.emit('error', new Error('ENOSPC'))).toThrow('ENOSPC');
  });
});
