import type { JsonType, SchemaNode } from './read-schema.js';
import { closure } from './schema-closure.js';
import { Demands, isOfType } from './schema-demands.js';

/** Whether no value can obey both, as far as can be seen at a glance. Both are closed under `$ref` and `allOf`. */
export function isDisjoint(a: readonly SchemaNode[], b: readonly SchemaNode[]): boolean {
  const [left, right] = [new Demands(a), new Demands(b)];
  if (left.impossible || right.impossible) return true;
  return haveOtherTypes(left, right) || haveOtherValues(left, right) || haveOtherKinds(left, right);
}

function haveOtherTypes(a: Demands, b: Demands): boolean {
  const [left, right] = [a.declaredTypes, b.declaredTypes];
  if (left === undefined || right === undefined) return false;
  const plain = (type: JsonType) => (type === 'integer' ? 'number' : type);
  return left.every((type) => right.every((other) => plain(type) !== plain(other)));
}

function haveOtherValues(a: Demands, b: Demands): boolean {
  const [left, right] = [a.values, b.values];
  if (left !== undefined && right !== undefined) return [...left.keys()].every((key) => !right.has(key));
  return excludesAll(left, b.declaredTypes) || excludesAll(right, a.declaredTypes);
}

function excludesAll(
  values: ReadonlyMap<string, unknown> | undefined,
  types: readonly JsonType[] | undefined,
): boolean {
  if (values === undefined || types === undefined) return false;
  return [...values.values()].every((value) => types.every((type) => !isOfType(value, type)));
}

/** Objects that differ in a property which both must have. */
function haveOtherKinds(a: Demands, b: Demands): boolean {
  const isObject = ({ declaredTypes }: Demands) => declaredTypes?.length === 1 && declaredTypes[0] === 'object';
  if (!isObject(a) || !isObject(b)) return false;
  const others = new Map(b.properties().map((property) => [property.name, property]));
  return a.properties().some(({ name, required, nodes }) => {
    const other = others.get(name);
    if (!required || !other?.required) return false;
    const [left, right] = [new Demands(closure(nodes)).values, new Demands(closure(other.nodes)).values];
    return left !== undefined && right !== undefined && [...left.keys()].every((key) => !right.has(key));
  });
}
