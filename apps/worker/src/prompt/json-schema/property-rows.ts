import { refuse, type SchemaNode } from './read-schema.js';
import { Demands } from './schema-demands.js';
import { expand, type Situation } from './schema-situations.js';

/** Branches of branches, where parameters are written one by one. All are followed at once. */
const ROWS_MAX = 64;

/** What each branch demands of an object that obeys all of `nodes`; without those that no object obeys. */
export function rowsOf(nodes: readonly SchemaNode[]): Demands[] {
  const open: Situation[] = [{ nodes, chosen: new Set() }];
  const rows: Demands[] = [];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { situation, choice } = expand(next);
    if (choice !== undefined) open.push(...choice.branches().toReversed());
    else rows.push(new Demands(situation.nodes, situation.without));
    if (rows.length + open.length > ROWS_MAX) {
      throw refuse(
        choice?.path ?? nodes[0]!.path,
        `This model writes parameters one by one, so that at most ${ROWS_MAX} branches are possible beside them. Use fewer, or move them into a property.`,
      );
    }
  }
  return rows.filter((demands) => {
    const missing = demands.properties().some((property) => property.required && isImpossible(property.nodes));
    return !demands.impossible && demands.values === undefined && demands.types.includes('object') && !missing;
  });
}

export function isImpossible(nodes: readonly SchemaNode[]): boolean {
  return nodes.some(({ schema }) => schema === false);
}

/** Names of properties that can only be strings, whichever branch is taken: who reads them doesn't know which it was. */
export function textsIn(rows: readonly Demands[]): Set<string> {
  const isText = new Map<string, boolean>();
  for (const { name, nodes } of rows.flatMap((row) => row.properties())) {
    if (isImpossible(nodes)) continue;
    isText.set(name, isText.get(name) !== false && onlyTexts(nodes) !== undefined);
  }
  return new Set([...isText].flatMap(([name, is]) => (is ? [name] : [])));
}

/** What is demanded of a value that can only be a string; undefined where it might be anything else. */
export function onlyTexts(nodes: readonly SchemaNode[]): Demands | undefined {
  const { situation, choice } = expand({ nodes, chosen: new Set() });
  const demands = new Demands(situation.nodes);
  if (choice !== undefined || demands.impossible) return undefined;
  const { values, declaredTypes, types } = demands;
  const texts =
    values !== undefined && declaredTypes === undefined
      ? [...values.values()].every((value) => typeof value === 'string')
      : types.length > 0 && types.every((type) => type === 'string');
  return texts ? demands : undefined;
}
