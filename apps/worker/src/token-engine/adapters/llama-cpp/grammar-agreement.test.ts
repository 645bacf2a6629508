import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { compileSchema } from '../../../prompt/json-schema/compile-schema.js';
import { schemasWithValues } from '../../../prompt/json-schema/random-schema.testing.js';
import { checkGrammar } from '../../gbnf/check-ambiguity.js';
import { COMPILED_GBNF_LIMITS, type Gbnf } from '../../gbnf/gbnf.js';
import { GbnfWalk } from '../../gbnf/gbnf-walk.js';
import { ORDINARY_GRAMMARS } from '../../gbnf/grammars.testing.js';
import { randomGrammars, randomTexts } from '../../gbnf/random-gbnf.testing.js';
import { randomText } from '../../gbnf/random-text.testing.js';
import { readGbnf } from '../../gbnf/read-gbnf.js';
import { type Addon, addonOf } from './addon.js';
import { llamaFor } from './llama-instance.js';

interface NativeGrammar {
  isTextCompatible(text: string): boolean;
}

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
let addon: Addon;

beforeAll(async () => {
  addon = await addonOf(await llamaFor('off', silent));
});

/** llama.cpp's own grammar, which can say whether a whole text is one of it. */
function native(gbnf: string): NativeGrammar {
  return new addon.AddonGrammar(gbnf, { addonExports: addon, rootRuleName: 'root' }) as unknown as NativeGrammar;
}

function ours(gbnf: Gbnf, text: string): boolean {
  const walk = new GbnfWalk(gbnf);
  return walk.accept(Buffer.from(text)) && walk.complete;
}

/** Undefined where the text shows an ambiguity that trying the grammar beforehand did not: it is stopped there. */
function oursUnlessAmbiguous(gbnf: Gbnf, text: string): boolean | undefined {
  try {
    return ours(gbnf, text);
  } catch (error) {
    expect((error as Error).message).toContain('too ambiguous');
    return undefined;
  }
}

function readable(text: string): Gbnf | undefined {
  try {
    return checkGrammar(text);
  } catch {
    return undefined;
  }
}

const randomness = fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true }));

describe("our reading of a grammar and llama.cpp's", () => {
  it('agree on random grammars: what is let through is read there, and derives the same texts', () => {
    let read = 0;
    fc.assert(
      fc.property(randomGrammars, fc.array(randomTexts, { maxLength: 8 }), randomness, (text, others, stream) => {
        const gbnf = readable(text);
        if (gbnf === undefined) return;
        read++;
        const llama = native(text);
        const derived = Array.from({ length: 4 }, () => randomText(gbnf, () => stream.next().value as number, 12));
        for (const sample of [...others, ...derived.filter((sample) => sample !== undefined)]) {
          const accepted = oursUnlessAmbiguous(gbnf, sample);
          if (accepted === undefined) continue;
          expect([sample, accepted]).toEqual([sample, llama.isTextCompatible(sample)]);
          if (!others.includes(sample)) expect([sample, accepted]).toEqual([sample, true]);
        }
      }),
      { numRuns: 150, endOnFailure: true },
    );
    expect(read).toBeGreaterThan(10);
  });

  for (const [name, { gbnf, yes, no }] of Object.entries(ORDINARY_GRAMMARS)) {
    it(`agree on ${name}`, () => {
      const llama = native(gbnf);
      expect(yes.filter((text) => llama.isTextCompatible(text))).toEqual(yes);
      expect(no.filter((text) => llama.isTextCompatible(text))).toEqual([]);
    });
  }

  it('agree on grammars that were compiled from schemas', () => {
    fc.assert(
      fc.property(schemasWithValues, randomness, fc.nat(), ({ schema, value }, stream, at) => {
        const text = compileSchema(schema, 'schema');
        const read = readGbnf(text, COMPILED_GBNF_LIMITS);
        const llama = native(text);
        const written = JSON.stringify(value);
        expect([written, llama.isTextCompatible(written)]).toEqual([written, true]);
        const derived = randomText(read, () => stream.next().value as number, 60)!;
        expect([derived, llama.isTextCompatible(derived)]).toEqual([derived, true]);
        const broken = derived.slice(0, at % derived.length) + derived.slice((at % derived.length) + 1);
        if (broken.isWellFormed()) {
          expect([broken, ours(read, broken)]).toEqual([broken, llama.isTextCompatible(broken)]);
        }
      }),
      { numRuns: 40, endOnFailure: true },
    );
  });
});
