import {
  BARREN_SCHEMA,
  type PropertyRow,
  textProperties,
  writeProperties,
  writeSchema,
} from '../json-schema/compile-schema.js';
import { type GrammarBuilder, once, type Rule } from '../json-schema/grammar-builder.js';
import type { JsonRules } from '../json-schema/json-rules.js';
import { isObject, plainSchema } from '../json-schema/plain-schema.js';
import { refuse, shown } from '../json-schema/read-schema.js';
import type { ParameterSyntax } from './call-syntax.js';
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
export function writeTools(
  builder: GrammarBuilder,
  json: JsonRules,
  tools: readonly Tool[],
  parameterSyntax: ParameterSyntax | undefined,
): ToolRule[] {
  const known = new Map<string, Rule>();
  const rules = tools.map(({ name, parameters, where }): ToolRule => {
    const schema = closed(parameters);
    // Programs offer many tools with the same parameters, such as none.
    const key = JSON.stringify(schema);
    const rule =
      known.get(key) ??
      (parameterSyntax === undefined
        ? writeSchema(builder, json, schema, where, { onlyObjects: true, among: tools.length })
        : writeOneByOne(builder, json, schema, where, parameterSyntax, tools.length));
    known.set(key, rule);
    return { name, arguments: rule };
  });
  const barren = new Set(builder.barren(rules.map((rule) => rule.arguments)));
  for (const [at, { arguments: rule }] of rules.entries()) {
    if (barren.has(rule)) throw refuse(tools[at]!.where, `${BARREN_SCHEMA} Arguments are always an object.`);
  }
  return rules;
}

/** The parameters in the order of their declaration, without those that may be left out or with them. */
function writeOneByOne(
  builder: GrammarBuilder,
  json: JsonRules,
  schema: unknown,
  where: string,
  syntax: ParameterSyntax,
  among: number,
): Rule {
  const rows = writeProperties(builder, json, schema, where, syntax.end, among);
  return builder.add(rows.map((row) => [once(writeRow(builder, row, where, syntax))]));
}

function writeRow(
  builder: GrammarBuilder,
  { properties, mayBeEmpty }: PropertyRow,
  where: string,
  syntax: ParameterSyntax,
): Rule {
  let some = builder.add([[]]);
  let atLeastOne = builder.add();
  for (const property of properties.toReversed()) {
    const written = syntax.write(property);
    if (written === undefined) {
      throw refuse(where, `This model can't write a parameter with the name ${shown(property.name)}. Rename it.`);
    }
    const here = [...written, once(some)];
    atLeastOne = builder.add(property.required ? [here] : [here, [once(atLeastOne)]]);
    some = builder.add(property.required ? [here] : [here, [once(some)]]);
  }
  return mayBeEmpty ? some : atLeastOne;
}

/** The parameters of each tool that can only be strings. */
export function textsOf(tools: readonly Tool[]): Record<string, string[]> {
  return Object.fromEntries(
    tools.map(({ name, parameters, where }) => [name, textProperties(closed(parameters), where)]),
  );
}

const NO_PARAMETERS = { type: 'object', additionalProperties: false };

/** Keywords that may bring more properties than stand beside them. */
const COMPOSING = ['additionalProperties', 'anyOf', 'oneOf', 'allOf', '$ref'];

/**
 * The schema, without properties that it doesn't declare unless it says that there may be some: few schemas say that there
 * may be none, and yet no function takes an argument that it has not. What it requires is declared by that.
 */
function closed(parameters: unknown): unknown {
  if (parameters === undefined || parameters === null) return NO_PARAMETERS;
  const schema = plainSchema(parameters);
  if (!isObject(schema) || !isObject(schema.properties)) return schema;
  if (COMPOSING.some((keyword) => Object.hasOwn(schema, keyword))) return schema;
  const { properties, required } = schema;
  const undeclared = Array.isArray(required) ? required.filter((name) => !Object.hasOwn(properties, name)) : [];
  const more = Object.fromEntries(undeclared.map((name) => [name, true]));
  return { ...schema, properties: { ...properties, ...more }, additionalProperties: false };
}
