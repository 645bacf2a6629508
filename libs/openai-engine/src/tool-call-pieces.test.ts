import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ToolCallPieces } from './tool-call-pieces.js';

type Piece = Record<string, unknown>;

function joined(pieces: readonly (readonly unknown[])[], callsMax = 9): { name: string; arguments: string }[] {
  const calls = new ToolCallPieces(callsMax);
  const joined: { name: string; arguments: string }[] = [];
  for (const delta of [...pieces.flatMap((each) => calls.add(each)), ...calls.end()]) {
    if (delta.name !== undefined) {
      // One after another, and each named once.
      expect(delta.index).toBe(joined.length);
      joined.push({ name: delta.name, arguments: '' });
    }
    joined[delta.index]!.arguments += delta.arguments;
  }
  return joined;
}

const piece = (fields: Piece, name?: unknown, args?: unknown): Piece => ({
  ...fields,
  function: { ...(name !== undefined && { name }), ...(args !== undefined && { arguments: args }) },
});

const F = { name: 'f', arguments: '{"a":1}' };
const G = { name: 'g', arguments: '{"b":2}' };

describe('tool calls', () => {
  it.each<[string, unknown[][], object[]]>([
    [
      'as OpenAI sends them',
      [
        [piece({ index: 0, id: 'x', type: 'function' }, 'f', '')],
        [piece({ index: 0 }, undefined, '{"a"')],
        [piece({ index: 0 }, undefined, ':1}')],
        [piece({ index: 1, id: 'y' }, 'g', '')],
        [piece({ index: 1 }, undefined, '{"b":2}')],
      ],
      [F, G],
    ],
    [
      'without an index',
      [[piece({ id: 'x' }, 'f', '{"a"')], [piece({}, undefined, ':1}')], [piece({ id: 'y' }, 'g', '{"b":2}')]],
      [F, G],
    ],
    [
      'without an index, id and name in every piece',
      [[piece({ id: 'x' }, 'f', '{"a"')], [piece({ id: 'x' }, 'f', ':1}')], [piece({ id: 'y' }, 'g', '{"b":2}')]],
      [F, G],
    ],
    [
      'with id and name in every piece',
      [[piece({ index: 0, id: 'x' }, 'f', '{"a"')], [piece({ index: 0, id: 'x' }, 'f', ':1}')]],
      [F],
    ],
    [
      'whole in one piece',
      [[piece({ index: 0, id: 'x' }, 'f', '{"a":1}'), piece({ index: 1, id: 'y' }, 'g', '{"b":2}')]],
      [F, G],
    ],
    [
      'whole, all with the index 0',
      [[piece({ index: 0, id: 'x' }, 'f', '{"a":1}')], [piece({ index: 0, id: 'y' }, 'g', '{"b":2}')]],
      [F, G],
    ],
    [
      'whole, all with the index 0 and of one name',
      [[piece({ index: 0, id: 'x' }, 'f', '{"a":1}')], [piece({ index: 0, id: 'y' }, 'f', '{"a":1}')]],
      [F, F],
    ],
    ['whole, of one name, without id and index', [[piece({}, 'f', '{"a":1}')], [piece({}, 'f', '{"a":1}')]], [F, F]],
    ['in pieces, the name in each, without id and index', [[piece({}, 'f', '{"a"')], [piece({}, 'f', ':1}')]], [F]],
    ['with arguments as an object', [[piece({ index: 0 }, 'f', { a: 1 })]], [F]],
    [
      'with null for what is not there',
      [
        [piece({ index: 0, id: 'x' }, 'f', null)],
        [piece({ index: 0, id: null }, null, '{"a":1}')],
        [null],
        [{ index: 0 }],
        [{ index: 0, function: null }],
      ],
      [F],
    ],
    [
      'with the name behind',
      [[piece({ index: 0, id: 'x' }, undefined, '{"a"')], [piece({ index: 0 }, 'f', ':1}')]],
      [F],
    ],
    [
      'without arguments',
      [[piece({ index: 0, id: 'x' }, 'f')], [piece({ index: 1, id: 'y' }, 'g', '')]],
      [
        { name: 'f', arguments: '{}' },
        { name: 'g', arguments: '{}' },
      ],
    ],
    [
      'with an index that begins at 1',
      [[piece({ index: 1 }, 'f', '{"a":1}')], [piece({ index: 2 }, 'g', '{"b":2}')]],
      [F, G],
    ],
    [
      'out of order',
      [
        [piece({ index: 0, id: 'x' }, 'f', '{"a"'), piece({ index: 1, id: 'y' }, 'g', '{"b"')],
        [piece({ index: 0 }, undefined, ':1}'), piece({ index: 1 }, undefined, ':2}')],
      ],
      [F, G],
    ],
    ['that are none', [['text'], [{}], [7]], []],
  ])('are put together: %s', (_name, pieces, expected) => {
    expect(joined(pieces)).toEqual(expected);
  });

  it('beyond those that were allowed are left out', () => {
    expect(
      joined(
        [
          [
            piece({ index: 0 }, 'f', '{"a":1}'),
            piece({ index: 1 }, 'g', '{"b'),
            piece({ index: 1 }, undefined, '":2}'),
          ],
        ],
        1,
      ),
    ).toEqual([F]);
  });

  it('come out the same in every form and cut that servers have', () => {
    const call = fc.record({
      name: fc.constantFrom('f', 'g', 'weather'),
      arguments: fc.dictionary(fc.string({ maxLength: 4 }), fc.jsonValue({ maxDepth: 2 }), { maxKeys: 3 }),
    });
    const form = fc.record({
      index: fc.constantFrom('right', 'none', 'zero'),
      idEverywhere: fc.boolean(),
      nameEverywhere: fc.boolean(),
      pieceLength: fc.integer({ min: 1, max: 9 }),
    });
    fc.assert(
      fc.property(fc.array(call, { minLength: 1, maxLength: 4 }), form, (calls, how) => {
        const sent = calls.flatMap(({ name, arguments: value }, number) => {
          const text = JSON.stringify(value);
          const parts = text.match(new RegExp(`[^]{1,${how.pieceLength}}`, 'g'))!;
          return parts.map((part, at) => {
            // Where all have the same index or none, the id must tell them apart.
            const id = at === 0 || how.idEverywhere ? { id: `call-${number}` } : {};
            const index = { right: { index: number }, zero: { index: 0 }, none: {} }[how.index];
            return [piece({ ...index, ...id }, at === 0 || how.nameEverywhere ? name : undefined, part)];
          });
        });
        // A name in every piece but no id or index to go with it says nothing of which call it is.
        fc.pre(how.idEverywhere || !how.nameEverywhere || how.index === 'right');
        expect(joined(sent)).toEqual(
          calls.map(({ name, arguments: value }) => ({ name, arguments: JSON.stringify(value) })),
        );
      }),
      { numRuns: 500 },
    );
  });

  it('without end are counted, told no further, and cost no more each than the first', () => {
    const pieces = new ToolCallPieces(2);
    const calls = Array.from({ length: 200_000 }, (_, index) => ({ index, id: `c${index}`, function: { name: 'f' } }));
    expect(pieces.add(calls)).toHaveLength(2);
    // Of those that are passed over, the latest are still known.
    expect(pieces.add([{ index: 199_999, function: { arguments: '{}' } }])).toEqual([]);
    expect(pieces.add([{ index: 1, function: { arguments: '{}' } }])).toEqual([{ index: 1, arguments: '{}' }]);
    expect(pieces.end()).toEqual([{ index: 0, arguments: '{}' }]);
  });

  it('without a name are held only so far', () => {
    const pieces = new ToolCallPieces(2);
    const nameless = { index: 0, function: { arguments: 'x'.repeat(1_000) } };
    pieces.add(Array.from({ length: 100_000 }, () => nameless));
    const [call] = pieces.add([{ index: 0, function: { name: 'f' } }]);
    expect(call!.arguments!.length).toBeLessThan(1_100_000);
  });
});
