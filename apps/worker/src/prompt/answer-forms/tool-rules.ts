import { BARREN_SCHEMA, writeSchema } from '../json-schema/compile-schema.js';
import type { GrammarBuilder, Rule } from '../json-schema/grammar-builder.js';
import type { JsonRules } from '../json-schema/json-rules.js';
import { refuse } from '../json-schema/read-schema.js';
import type { ToolRule } from './call-writer.js';

/** A tool that a caller offers. */
export interface Tool {
  readonly name: string;
  /** A JSON schema; absent where there are none. */
  readonly parameters: unknown;
  /** Where the schema stands in the request. */
  readonly where: string;
}

/** OpenAI's tools, which are validated by now. */
export function toolsOf(tools: readonly Readonly<Record<string, unknown>>[]): Tool[] {
  return tools.map((tool, at) => {
    const { name, parameters } = tool.function as { name: string; parameters?: unknown };
    return { name, parameters, where: `tools[${at}].function.parameters` };
  });
}

/**
 * Rules for the arguments of every tool.
 *
 * @throws InferenceError `invalid_request` naming the keyword of the tool's schema that can't be expressed.
 */
export function writeTools(builder: GrammarBuilder, json: JsonRules, tools: readonly Tool[]): ToolRule[] {
  const known = new Map<string, Rule>();
  const rules = tools.map(({ name, parameters, where }): ToolRule => {
    const schema = closed(parameters);
    // Programs offer many tools with the same parameters, such as none.
    const key = JSON.stringify(schema);
    const rule = known.get(key) ?? writeSchema(builder, json, schema, where, 'object');
    known.set(key, rule);
    return { name, arguments: rule };
  });
  const barren = new Set(builder.barren(rules.map((rule) => rule.arguments)));
  for (const [at, { arguments: rule }] of rules.entries()) {
    if (barren.has(rule)) throw refuse(tools[at]!.where, `${BARREN_SCHEMA} Arguments are always an object.`);
  }
  return rules;
}

const NO_PARAMETERS = { type: 'object', additionalProperties: false };

/** Keywords that may bring more properties than stand beside them. */
const COMPOSING = ['additionalProperties', 'anyOf', 'oneOf', 'allOf', '$ref'];

/**
 * The schema, without properties that it doesn't declare unless it says that there may be some: few schemas say that there
 * may be none, and yet no function takes an argument that it has not.
 */
function closed(schema: unknown): unknown {
  if (schema === undefined || schema === null) return NO_PARAMETERS;
  const hasProperties = typeof schema === 'object' && Object.hasOwn(schema, 'properties');
  if (!hasProperties || COMPOSING.some((keyword) => Object.hasOwn(schema, keyword))) return schema;
  return { ...schema, additionalProperties: false };
}
