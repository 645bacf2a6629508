import { factsOf, isDisjoint } from './disjoint-schemas.js';
import { refuse, type SchemaNode } from './read-schema.js';
import { circle, closure } from './schema-closure.js';
import { SCHEMA_LIMITS } from './schema-limits.js';

/** Schemas that a value must obey together, and the branches already chosen among them. */
export interface Situation {
  readonly nodes: readonly SchemaNode[];
  /** The keywords whose branch is among `nodes`, as `id.keyword`. */
  readonly chosen: ReadonlySet<string>;
}

/** The same demands with `$ref` and `allOf` followed. `choice`: one of its branches must hold, and they say all. */
export interface Expanded {
  /** Equal for equal situations, however they came about: a rule is written once, and recursion comes round to it. */
  readonly key: string;
  readonly situation: Situation;
  readonly choice: Choice | undefined;
}

const CHOICES = ['anyOf', 'oneOf'] as const;

interface Choice {
  readonly path: string;
  /** How many branches there are. */
  readonly count: number;
  branches(): readonly Situation[];
}

export function expand({ nodes, chosen }: Situation): Expanded {
  const all = closure(nodes);
  const situation = { nodes: all, chosen };
  const ids = all.map(({ id }) => id).sort((a, b) => a - b);
  const key = `schema ${ids.join()} ${[...chosen].sort().join()}`;
  for (const node of all) {
    for (const keyword of CHOICES) {
      const choice = `${node.id}.${keyword}`;
      const branches = node.children.get(keyword);
      if (branches === undefined || chosen.has(choice)) continue;
      const path = `${node.path}.${keyword}`;
      const choose = () => chooseAmong(situation, path, keyword, branches, choice);
      return { key, situation, choice: { path, count: branches.length, branches: choose } };
    }
  }
  return { key, situation, choice: undefined };
}

function chooseAmong(
  { nodes, chosen }: Situation,
  path: string,
  keyword: 'anyOf' | 'oneOf',
  branches: readonly SchemaNode[],
  choice: string,
): Situation[] {
  if (branches.length > SCHEMA_LIMITS.branchesMax) {
    throw refuse(
      path,
      `\`${keyword}\` has ${branches.length} branches; at most ${SCHEMA_LIMITS.branchesMax} are possible. Use fewer.`,
    );
  }
  const decided = new Set(chosen).add(choice);
  const owners = new Set([...decided].map((each) => Number.parseInt(each, 10)));
  const situations = branches.map((branch) => {
    const inner = closure([branch]);
    if (inner.some(({ id }) => owners.has(id))) throw circle(path);
    return { nodes: closure([...nodes, ...inner]), chosen: decided };
  });
  if (keyword === 'oneOf' && !areDisjoint(situations)) {
    throw refuse(
      path,
      '`oneOf` is only supported where its branches exclude each other: by their types, by `const` or `enum`, or by a required property with a `const` of its own in each. Use `anyOf`.',
    );
  }
  return situations;
}

function areDisjoint(situations: readonly Situation[]): boolean {
  const facts = situations.map(({ nodes }) => factsOf(nodes));
  return facts.every((a, at) => facts.slice(at + 1).every((b) => isDisjoint(a, b)));
}
