import type { InferenceError } from '@millrace/contracts';
import { refuse, type SchemaNode } from './read-schema.js';

/** `nodes` and all that they refer to by `$ref` and `allOf`, each once, in the order of the schema. */
export function closure(nodes: readonly SchemaNode[]): SchemaNode[] {
  const found = new Set<SchemaNode>();
  const open = new Set<SchemaNode>();
  // A stack of our own, since references may follow each other through the whole schema. An entry with `leave` closes.
  const stack = nodes.toReversed().map((node) => ({ node, leave: false }));
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const { node, leave } = next;
    if (leave) {
      open.delete(node);
      continue;
    }
    if (open.has(node)) throw circle(`${node.path}`);
    if (found.has(node)) continue;
    found.add(node);
    open.add(node);
    stack.push({ node, leave: true });
    const parts = [...(node.target === undefined ? [] : [node.target]), ...(node.children.get('allOf') ?? [])];
    for (const part of parts.toReversed()) stack.push({ node: part, leave: false });
  }
  return [...found];
}

export function circle(path: string): InferenceError {
  return refuse(
    path,
    'A `$ref` leads back to where it stands, without a property or an item between. Remove the circle.',
  );
}
