import { describe, expect, it } from 'vitest';
import { beginApart } from './disjoint-schemas.js';
import { readSchema } from './read-schema.js';

const apart = (...branches: unknown[]) => beginApart(branches.map((branch) => [readSchema(branch, 'schema')]));

describe('branches begin apart', () => {
  it('where they are of different types, which programs write for what may be null', () => {
    expect(apart({ type: 'string' }, { type: 'null' })).toBe(true);
    expect(apart({ type: ['string', 'boolean'] }, { const: null }, { enum: [1, 2] }, { type: 'array' })).toBe(true);
    expect(apart({ type: 'object' }, false)).toBe(true);
  });

  it('but not where two may be of one type, or of any', () => {
    expect(apart({ type: 'string' }, { type: ['null', 'string'] })).toBe(false);
    expect(apart({ type: 'integer' }, { type: 'number' })).toBe(false);
    expect(apart({ const: 'a' }, { const: 'b' })).toBe(false);
    expect(apart({ type: 'null' }, { properties: {} })).toBe(false);
    expect(apart({ type: 'null' }, {})).toBe(false);
  });
});
