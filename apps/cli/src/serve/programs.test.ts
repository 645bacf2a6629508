import { describe, expect, it } from 'vitest';
import { entryOf, programs } from './programs.js';

describe('the programs that millrace starts', () => {
  it('are looked for when they are wanted, and not before', () => {
    const resolve = (name: string) => {
      throw Object.assign(new Error(`Cannot find module '${name}'`), { code: 'MODULE_NOT_FOUND' });
    };
    expect(() => entryOf('worker', resolve as never)).toThrow(
      'There is no worker here. In a container, take the image millrace/worker, or millrace/millrace, which has both',
    );
    expect(() => entryOf('gateway', resolve as never)).toThrow('There is no gateway here.');
    expect(() => programs()).not.toThrow();
  });

  it('do not hide another fault as their absence', () => {
    const resolve = () => {
      throw Object.assign(new Error('disk'), { code: 'EIO' });
    };
    expect(() => entryOf('worker', resolve as never)).toThrow('disk');
  });
});
