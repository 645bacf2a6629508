import { factsOf, isDisjoint, missing } from './disjoint-schemas.js';
import { refuse, type SchemaNode } from './read-schema.js';
import { circle, closure } from './schema-closure.js';
import { SCHEMA_LIMITS } from './schema-limits.js';

/** Schemas that a value must obey together, and the branches already chosen among them. */
export interface Situation {
  readonly nodes: readonly SchemaNode[];
  /** The keywords whose branch is among `nodes`, as `id.keyword`. */
  readonly chosen: ReadonlySet<string>;
  /** Names of properties that may not be there. */
  readonly without?: readonly string[] | undefined;
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

export function expand({ nodes, chosen, without = [] }: Situation): Expanded {
  const all = closure(nodes);
  const situation = { nodes: all, chosen, without };
  const ids = all.map(({ id }) => id).sort((a, b) => a - b);
  const key = `schema ${ids.join()} ${[...chosen].sort().join()} ${JSON.stringify(without)}`;
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
  { nodes, chosen, without = [] }: Situation,
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
    return { nodes: closure([...nodes, ...inner]), chosen: decided, without };
  });
  return keyword === 'anyOf' ? situations : apart(situations, path);
}

/** Branches of which a value obeys only one: objects go without a property that the other branch requires. */
function apart(situations: readonly Situation[], path: string): Situation[] {
  const facts = situations.map(({ nodes }) => factsOf(nodes));
  return situations.map((situation, at) => {
    const own = facts[at]!;
    const others = facts.filter((other) => other !== own && !isDisjoint(own, other));
    const without = others.map((other) => missing(own, other));
    if (without.includes(undefined)) {
      throw refuse(
        path,
        '`oneOf` is only supported where its branches exclude each other: by their types, by `const` or `enum`, or, of objects, by a required property that the other doesn’t require or has another `const` for. Use `anyOf`.',
      );
    }
    const names = new Set([...(situation.without ?? []), ...(without as string[])]);
    return { ...situation, without: [...names].sort() };
  });
}
