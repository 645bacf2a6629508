import fc from 'fast-check';

const literals = fc
  .string({ unit: fc.constantFrom('a', 'b', 'é', '😀', '\\n', '\\"', '\\x41'), minLength: 1, maxLength: 3 })
  .map((text) => `"${text}"`);
const sets = fc
  .tuple(
    fc.boolean(),
    fc.array(fc.constantFrom('a', 'b', 'a-c', 'é', 'à-ü', '\\]', '\\u00e4', '😀', '-'), { minLength: 1, maxLength: 3 }),
  )
  .map(([negated, members]) => `[${negated ? '^' : ''}${[...new Set(members)].sort().reverse().join('')}]`);

/** Items over the rules `names`, which may be empty, ambiguous and nested. */
function items(names: readonly string[]): fc.Arbitrary<string> {
  return fc.letrec<{ item: string; alternatives: string }>((tie) => ({
    item: fc
      .tuple(
        fc.oneof(
          { maxDepth: 2, depthSize: 'small' },
          fc.oneof(literals, sets, fc.constant('.'), ...(names.length > 0 ? [fc.constantFrom(...names)] : [])),
          tie('alternatives').map((inner) => `("x" (${inner}))`),
        ),
        fc.constantFrom('', '', '', '', '', '', '', '', '?', '*', '+', '{2}', '{0,2}', '{1,}', '{1,3}'),
      )
      .map(([item, times]) => item + times),
    alternatives: fc
      .array(fc.array(tie('item'), { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 2 })
      .map((sequences) => sequences.map((sequence) => sequence.join(' ')).join(' | ')),
  })).alternatives;
}

/** Small grammars of four rules; some are left-recursive or too ambiguous, and must be refused. */
export const randomGrammars: fc.Arbitrary<string> = fc
  .tuple(items(['b', 'c', 'd']), items(['c', 'd', 'root']), items(['d']), items([]))
  .map(([root, b, c, d]) => `root ::= ${root}\nb ::= "x" ${b.includes('|') ? `(${b})` : b}\nc ::= ${c}\nd ::= ${d}\n`);

/** Texts near to what such grammars derive. */
export const randomTexts: fc.Arbitrary<string> = fc.string({
  unit: fc.constantFrom('a', 'b', 'x', 'é', 'ä', '😀', '\n', '"', 'A', ']', '-'),
  maxLength: 8,
});
