import { type JsonType, type SchemaNode, TYPES } from './read-schema.js';
import { closure } from './schema-closure.js';
import { Demands, isOfType } from './schema-demands.js';

/** What tells the values of one schema from those of another. */
export interface Facts {
  readonly impossible: boolean;
  readonly types: readonly JsonType[] | undefined;
  readonly values: ReadonlyMap<string, unknown> | undefined;
  /** Of objects, and nothing else: the values that required properties may have, where they are listed. */
  readonly kinds: ReadonlyMap<string, ReadonlyMap<string, unknown>>;
  /** Whether only objects can obey it. */
  readonly onlyObjects: boolean;
  /** Names of properties, in the order of naming, and whether they must be there. */
  readonly names: ReadonlyMap<string, boolean>;
}

/** @param nodes closed under `$ref` and `allOf` */
export function factsOf(nodes: readonly SchemaNode[]): Facts {
  const demands = new Demands(nodes);
  const { impossible, declaredTypes: types, values } = demands;
  const kinds = new Map<string, ReadonlyMap<string, unknown>>();
  const onlyObjects = types?.length === 1 && types[0] === 'object';
  const names = new Map(demands.properties().map(({ name, required }) => [name, required]));
  if (onlyObjects) {
    for (const { name, required, nodes } of demands.properties()) {
      const listed = required ? new Demands(closure(nodes)).values : undefined;
      if (listed !== undefined) kinds.set(name, listed);
    }
  }
  return { impossible, types, values, kinds, onlyObjects, names };
}

/** A property without which an object of `own` can't obey `other`, best one that it has not anyway; undefined where there is none. */
export function missing(own: Facts, other: Facts): string | undefined {
  if (!own.onlyObjects) return undefined;
  const missed = [...other.names].filter(([name, required]) => required && own.names.get(name) !== true);
  return (missed.find(([name]) => !own.names.has(name)) ?? missed[0])?.[0];
}

/** Whether each of these begins with a character that no other begins with: they are of different types. */
export function beginApart(branches: readonly (readonly SchemaNode[])[]): boolean {
  const taken = new Set<JsonType>();
  for (const nodes of branches) {
    const types = plainTypesOf(nodes);
    if (types === undefined || types.some((type) => taken.has(type))) return false;
    for (const type of types) taken.add(type);
  }
  return true;
}

function plainTypesOf(nodes: readonly SchemaNode[]): readonly JsonType[] | undefined {
  const { impossible, declaredTypes, values } = new Demands(nodes);
  if (impossible) return [];
  const ofValues = values && TYPES.filter((type) => [...values.values()].some((value) => isOfType(value, type)));
  const types = ofValues ?? declaredTypes;
  return types && [...new Set(types.map(plain))];
}

function plain(type: JsonType): JsonType {
  return type === 'integer' ? 'number' : type;
}

/** Whether no value can obey both, as far as can be seen at a glance. */
export function isDisjoint(a: Facts, b: Facts): boolean {
  return a.impossible || b.impossible || haveOtherTypes(a, b) || haveOtherValues(a, b) || haveOtherKinds(a, b);
}

function haveOtherTypes(a: Facts, b: Facts): boolean {
  if (a.types === undefined || b.types === undefined) return false;
  return a.types.every((type) => b.types!.every((other) => plain(type) !== plain(other)));
}

function haveOtherValues(a: Facts, b: Facts): boolean {
  if (a.values !== undefined && b.values !== undefined) return shareNothing(a.values, b.values);
  return excludesAll(a.values, b.types) || excludesAll(b.values, a.types);
}

function excludesAll(
  values: ReadonlyMap<string, unknown> | undefined,
  types: readonly JsonType[] | undefined,
): boolean {
  if (values === undefined || types === undefined) return false;
  return [...values.values()].every((value) => types.every((type) => !isOfType(value, type)));
}

function haveOtherKinds(a: Facts, b: Facts): boolean {
  for (const [name, values] of a.kinds) {
    const others = b.kinds.get(name);
    if (others !== undefined && shareNothing(values, others)) return true;
  }
  return false;
}

function shareNothing(a: ReadonlyMap<string, unknown>, b: ReadonlyMap<string, unknown>): boolean {
  for (const key of a.keys()) if (b.has(key)) return false;
  return true;
}
