import { InferenceError } from '@millrace/contracts';
import { checkAmbiguity } from '../../token-engine/gbnf/check-ambiguity.js';
import { COMPILED_GBNF_LIMITS } from '../../token-engine/gbnf/gbnf.js';
import { readGbnf } from '../../token-engine/gbnf/read-gbnf.js';
import {
  ALL_CHARACTERS,
  type Automaton,
  accepts,
  Budget,
  complement,
  intersect,
  lengths,
  lengthsOf,
  TooLarge,
  without,
} from './automaton.js';
import { beginApart } from './disjoint-schemas.js';
import { FORMATS } from './formats.js';
import { GrammarBuilder, type Item, literal, once, type Rule, set } from './grammar-builder.js';
import { JsonRules } from './json-rules.js';
import { type NumberRange, numberAutomaton } from './number-range.js';
import { type Property, writeObject } from './object-grammar.js';
import { constantAutomaton, patternAutomaton, UnusablePattern } from './pattern.js';
import { isImpossible, onlyTexts, rowsOf, textsIn } from './property-rows.js';
import { readSchema, refuse, type SchemaNode } from './read-schema.js';
import { Remembered } from './remembered.js';
import { Demands } from './schema-demands.js';
import { FORMAT_LENGTH_MAX, SCHEMA_LIMITS } from './schema-limits.js';
import { type Expanded, expand, type Situation } from './schema-situations.js';
import { wordsAutomaton } from './words.js';
import { writeStrings, writeTexts } from './write-automaton.js';

/**
 * The grammar, in GBNF, of the JSON texts that a schema allows.
 *
 * Every text it derives parses and validates. It is a little narrower than the schema: properties come in the order of
 * their declaration, blanks are few, and a string with a pattern has one spelling. docs/reference/structured-output.md
 * has the details. A text is followed in one way only, save where the schema itself offers several (`anyOf`).
 *
 * @param where the parameter that holds the schema; errors name the keyword beneath it.
 * @throws InferenceError `invalid_request` for what is malformed, not supported, beyond a limit, or allows no value.
 */
export function compileSchema(schema: unknown, where: string): string {
  const root = readSchema(schema, where);
  return orTooLarge(where, () => compileAlone([root], where));
}

/**
 * Writes into a grammar the rules of what a schema allows, as `compileSchema` does; each schema is held to the limits by
 * itself, and all of them together to those of the grammar.
 *
 * @param json the rules that all schemas of the grammar share.
 * @param options `onlyObjects`: nothing else is allowed. `among`: how many schemas there are, which share the work of trying branches.
 * @returns the rule; it derives nothing where the schema allows no value: see `GrammarBuilder.barren`.
 * @throws InferenceError as `compileSchema`; TooLarge when the grammar has no room for it, with all that is in it already.
 */
export function writeSchema(
  builder: GrammarBuilder,
  json: JsonRules,
  schema: unknown,
  where: string,
  options: { readonly onlyObjects?: boolean; readonly among?: number } = {},
): Rule {
  const { onlyObjects: only = false, among = 1 } = options;
  const nodes = [readSchema(schema, where), ...(only ? [onlyObjects(where)] : [])];
  const compiler = new Compiler(where, false, builder, json);
  const rule = compiler.write(nodes);
  // Branches are tried in a grammar of their own: what stands beside them says nothing of them.
  if (compiler.choices.size > 0) tryBranches(nodes, schema, where, among);
  return rule;
}

/** Schemas whose branches were tried: a program that changes one of its tools sends all others again. */
const SCHEMAS_TRIED_MAX = 1_024;
const tried = new Remembered(() => 0, SCHEMAS_TRIED_MAX);

function tryBranches(nodes: readonly SchemaNode[], schema: unknown, where: string, among: number): void {
  // So that one tool more does not give each a little less.
  const sharing = 2 ** Math.ceil(Math.log2(among));
  tried.get(JSON.stringify([sharing, nodes.length, schema]), () =>
    orTooLarge(where, () => compileAlone(nodes, where, sharing)),
  );
}

/** A property of an object, for models that write each by itself. */
export interface PropertyRule {
  readonly name: string;
  readonly required: boolean;
  /** Whether it can only be a string, which is then written as it stands; else it is JSON. */
  readonly text: boolean;
  readonly value: Rule;
}

/** One of the ways in which the properties of an object may come together. */
export interface PropertyRow {
  readonly properties: readonly PropertyRule[];
  readonly mayBeEmpty: boolean;
}

/**
 * As `writeSchema`, for what the properties of an object may be, each by itself: one row for each branch.
 *
 * @param end what no text may contain, since it ends there.
 */
export function writeProperties(
  builder: GrammarBuilder,
  json: JsonRules,
  schema: unknown,
  where: string,
  end: string,
  among = 1,
): PropertyRow[] {
  const nodes = [readSchema(schema, where), onlyObjects(where)];
  const compiler = new Compiler(where, false, builder, json);
  const rows = compiler.writeProperties(nodes, end);
  if (rows.length > 1 || compiler.choices.size > 0) tryBranches(nodes, schema, where, among);
  return rows;
}

/** The properties of an object that can only be strings: those for which `writeProperties` says `text`. */
export function textProperties(schema: unknown, where: string): string[] {
  return [...textsIn(rowsOf([readSchema(schema, where), onlyObjects(where)]))];
}

/** The sentence for a schema whose rule is barren. */
export const BARREN_SCHEMA =
  'The schema allows no value that ends: something in it contradicts itself, or contains itself without an end.';

/** @param among how many schemas share the work that is spent on trying branches. */
function compileAlone(nodes: readonly SchemaNode[], where: string, among = 1): string {
  const compiler = new Compiler(where);
  const text = compiler.compile(nodes);
  if (compiler.choices.size > 0) {
    const stepsMax = Math.max(BRANCH_STEPS_MIN, BRANCH_STEPS_MAX / among);
    compiler.checkBranches(text, stepsMax);
    const bare = new Compiler(where, true);
    bare.checkBranches(bare.compile(nodes), stepsMax);
  }
  return text;
}

function orTooLarge<T>(where: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof TooLarge)) throw error;
    throw refuse(
      where,
      `The schema asks for ${error.message}, which is the most. Make it smaller, or its patterns simpler.`,
    );
  }
}

/** Beside the nodes of any schema, whose ids begin with 0. */
function onlyObjects(where: string): SchemaNode {
  return { ...readSchema({ type: 'object' }, where), id: -1 };
}

/** The grammar of any JSON object, for `response_format` `json_object`. */
export function jsonObjectGrammar(): string {
  const builder = new GrammarBuilder();
  return builder.text(new JsonRules(builder).object)!;
}

/**
 * Characters of JSON that one token may hold, where branches that say the same come again with every item of an array. In
 * a grammar that a caller sends, they may come again with every character.
 */
const TOKEN_CHARACTERS = 8;

/** Work spent on each of the two grammars; a few tenths of a second. */
const BRANCH_STEPS_MAX = 300_000;
/** Work spent on a schema among many, however many there are. */
const BRANCH_STEPS_MIN = 3_000;

class Compiler {
  readonly #builder: GrammarBuilder;
  readonly #json: JsonRules;
  readonly #budget = new Budget();
  /** Rules by what they are for: situations, strings and numbers that occur again. */
  readonly #known = new Map<string, Rule>();
  readonly #patterns = new Map<string, Automaton>();
  /** Situations whose rule is named and not yet written: a queue rather than recursion, which has no bound. */
  readonly #open: { readonly rule: Rule; readonly expanded: Expanded }[] = [];
  #combinations = 0;
  #together = 0;
  /** Rules with branches that may begin alike. */
  readonly choices = new Set<Rule>();

  /** @param bare without what makes texts long: see `JsonRules`. */
  constructor(
    private readonly where: string,
    private readonly bare = false,
    builder = new GrammarBuilder(),
    json = new JsonRules(builder, bare),
  ) {
    this.#builder = builder;
    this.#json = json;
  }

  compile(nodes: readonly SchemaNode[]): string {
    const text = this.#builder.text(this.write(nodes));
    if (text === undefined) throw refuse(this.where, BARREN_SCHEMA);
    return text;
  }

  /** The rule for what all of `nodes` allow, with all rules that it needs. */
  write(nodes: readonly SchemaNode[]): Rule {
    const rule = this.#ruleOf(nodes);
    this.#writeOpen();
    return rule;
  }

  /** The properties of the object that all of `nodes` allow, in the order of their declaration. */
  writeProperties(nodes: readonly SchemaNode[], end: string): PropertyRow[] {
    const rows = rowsOf(nodes);
    if (rows.length === 0) throw refuse(this.where, BARREN_SCHEMA);
    const texts = textsIn(rows);
    const written = rows.map((demands): PropertyRow => {
      const properties = demands.properties().filter((property) => !isImpossible(property.nodes));
      const mayBeEmpty = this.#mayBeEmpty(demands, properties);
      const rules = properties.map(({ name, required, nodes: inner }) => {
        const text = texts.has(name) ? this.#text(inner, end) : undefined;
        return { name, required, text: text !== undefined, value: text ?? this.#ruleOf(inner) };
      });
      return { properties: rules, mayBeEmpty };
    });
    this.#writeOpen();
    return written;
  }

  /** What a string may be as it stands; undefined where it might be anything but a string. */
  #text(nodes: readonly SchemaNode[], end: string): Rule | undefined {
    const demands = onlyTexts(nodes);
    if (demands === undefined) return undefined;
    if (demands.values !== undefined) {
      const words = this.#listedTexts(demands).map((text) => JSON.parse(text) as string);
      return writeTexts(this.#builder, wordsAutomaton(words.filter((word) => !word.includes(end))));
    }
    const { minLength, maxLength, patterns, formats } = demands;
    if (patterns.length === 0 && formats.length === 0 && (minLength > 0 || maxLength !== undefined)) {
      // To count the characters of a text that may begin to look like its end takes too many states.
      const first = end.codePointAt(0)!;
      const character = this.#builder.add([[set(without(ALL_CHARACTERS, [first, first]))]]);
      return this.#builder.add([this.#builder.times(character, minLength, maxLength)]);
    }
    const contents = this.#contents(demands, formats.length > 0 ? FORMAT_LENGTH_MAX : undefined);
    return this.#once(`text ${JSON.stringify([minLength, maxLength, patterns, formats])}`, () =>
      writeTexts(
        this.#builder,
        this.#within(demands, () => {
          const others = complement(patternAutomaton(end.replace(/[^\w<>]/g, '\\$&'), this.#budget));
          return contents === undefined ? others : intersect(contents, others, this.#budget);
        }),
      ),
    );
  }

  #writeOpen(): void {
    for (let next = this.#open.shift(); next !== undefined; next = this.#open.shift()) {
      this.#builder.define(next.rule, this.#alternatives(next.rule, next.expanded));
    }
  }

  /**
   * Refuses branches that begin alike for too long: they are followed side by side, and nested their number may explode.
   * A bare grammar shows where they multiply, since every circle in it is short enough to be gone through many times; the
   * real one, how many there are at once: each with a blank or without, with a digit more or at its end.
   */
  checkBranches(text: string, stepsMax = BRANCH_STEPS_MAX): void {
    const gbnf = readGbnf(text, COMPILED_GBNF_LIMITS, this.where);
    const names = new Set([...this.choices].map((rule) => this.#builder.nameOf(rule)));
    try {
      const characters = this.bare ? TOKEN_CHARACTERS : 0;
      checkAmbiguity(gbnf, this.where, ({ name }) => names.has(name), characters, stepsMax);
    } catch (error) {
      if (!(error instanceof InferenceError)) throw error;
      throw refuse(
        this.where,
        'Branches of `anyOf` begin alike for too long, so that too many must be followed at once. Give each a property with a `const` of its own, and declare that one first.',
      );
    }
  }

  /** The rule for what all of `nodes` allow. */
  #ruleOf(nodes: readonly SchemaNode[]): Rule {
    return this.#ruleOfSituation({ nodes, chosen: new Set() });
  }

  #ruleOfSituation(situation: Situation): Rule {
    const expanded = expand(situation);
    this.#countTogether(expanded.situation.nodes.length, expanded.situation.nodes[0]?.path);
    return this.#once(expanded.key, () => {
      const rule = this.#builder.add();
      this.#open.push({ rule, expanded });
      return rule;
    });
  }

  #once(key: string, make: () => Rule): Rule {
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const rule = make();
    this.#known.set(key, rule);
    return rule;
  }

  #alternatives(rule: Rule, { situation, choice }: Expanded): Item[][] {
    if (choice !== undefined) {
      // Each branch is put together with all of them.
      this.#countTogether(choice.count * situation.nodes.length, choice.path);
      const branches = choice.branches();
      if (situation.chosen.size > 0) this.#countCombinations(branches.length, choice.path);
      const rules = new Set(branches.map((branch) => this.#ruleOfSituation(branch)));
      if (rules.size > 1 && !beginApart(branches.map(({ nodes }) => nodes))) this.choices.add(rule);
      return [...rules].map((branch) => [once(branch)]);
    }
    const demands = new Demands(situation.nodes, situation.without);
    if (demands.impossible) return [];
    if (demands.values !== undefined) return this.#listed(demands);
    return demands.types.flatMap((type) => this.#ofType(type, demands));
  }

  /** References lead on to references: each value that meets a long chain of them goes through all of it. */
  #countTogether(nodes: number, path = this.where): void {
    this.#together += nodes;
    const { togetherMax } = SCHEMA_LIMITS;
    if (this.#together <= togetherMax) return;
    throw refuse(
      path,
      `The values of this schema meet at least ${this.#together} schemas by way of \`$ref\`, \`allOf\` and branches; at most ${togetherMax} are possible. Shorten the chains.`,
    );
  }

  /** Branches within branches multiply: each combination is a schema of its own. */
  #countCombinations(branches: number, path: string): void {
    this.#combinations += branches;
    const { combinationsMax } = SCHEMA_LIMITS;
    if (this.#combinations <= combinationsMax) return;
    throw refuse(
      path,
      `Branches of \`anyOf\` and \`oneOf\` are combined in at least ${this.#combinations} ways; at most ${combinationsMax} are possible. List the combinations that are meant in one \`anyOf\`.`,
    );
  }

  #ofType(type: string, demands: Demands): Item[][] {
    switch (type) {
      case 'null':
        return [['"null"']];
      case 'boolean':
        return [['"true"'], ['"false"']];
      case 'integer':
      case 'number':
        return [[once(this.#number({ ...demands.range, integer: type === 'integer' }, demands))]];
      case 'string':
        return [[once(this.#string(demands))]];
      case 'array':
        return this.#array(demands);
      default:
        return [[once(this.#object(demands))]];
    }
  }

  #listedTexts(demands: Demands): string[] {
    const { minLength, maxLength = Number.POSITIVE_INFINITY } = demands;
    const contents = this.#unbounded(demands);
    return demands.listed((text) => {
      const { length } = [...text];
      return length >= minLength && length <= maxLength && (contents === undefined || accepts(contents, text));
    });
  }

  #listed(demands: Demands): Item[][] {
    const texts = this.#listedTexts(demands);
    if (texts.length === 0) return [];
    try {
      return [[once(writeTexts(this.#builder, wordsAutomaton(texts)))]];
    } catch (error) {
      if (!(error instanceof TooLarge)) throw error;
      throw refuse(
        demands.path ?? this.where,
        `The ${texts.length} values listed need ${error.message}, which is the most. List fewer, or let them begin alike.`,
      );
    }
  }

  #number(range: NumberRange, demands: Demands): Rule {
    if (range.minimum === undefined && range.maximum === undefined && range.multiplesOf.length === 0) {
      return range.integer ? this.#json.integer : this.#json.number;
    }
    return this.#once(`number ${JSON.stringify(range)}`, () =>
      writeTexts(
        this.#builder,
        this.#within(demands, () => numberAutomaton(range, this.#budget)),
      ),
    );
  }

  #string(demands: Demands): Rule {
    const { minLength, maxLength, patterns, formats } = demands;
    if (patterns.length > 0 || formats.length > 0) {
      return this.#once(`string ${JSON.stringify([minLength, maxLength, patterns, formats])}`, () =>
        writeStrings(this.#builder, this.#contents(demands, formats.length > 0 ? FORMAT_LENGTH_MAX : undefined)!),
      );
    }
    if (minLength === 0 && maxLength === undefined) return this.#json.string;
    if (this.bare) return this.#json.string;
    return this.#once(`length ${minLength} ${maxLength}`, () =>
      this.#json.stringOf(this.#builder.times(this.#json.character, minLength, maxLength)),
    );
  }

  /** What a string may contain; undefined where nothing is demanded. A larger `maxLength` is taken for `narrowed`. */
  #contents(demands: Demands, narrowed = Number.POSITIVE_INFINITY): Automaton | undefined {
    const { minLength, maxLength } = demands;
    if (maxLength !== undefined && maxLength < minLength) return { states: [] };
    const contents = this.#unbounded(demands);
    if (contents === undefined) return undefined;
    // Each length costs as many states as the rest has, so bounds that hold anyway are left out.
    const has = lengthsOf(contents);
    const min = has.min >= minLength ? 0 : minLength;
    const max = maxLength === undefined || has.max <= maxLength ? undefined : maxLength;
    if (min === 0 && max === undefined) return contents;
    const bounds = () => lengths(min, max && Math.min(max, Math.max(minLength, narrowed)));
    return this.#within(demands, () => intersect(contents, bounds(), this.#budget));
  }

  /** What formats and patterns leave; undefined where there is neither. */
  #unbounded(demands: Demands): Automaton | undefined {
    const { patterns, formats } = demands;
    const [first, ...others] = [
      ...formats.map((format) => constantAutomaton(FORMATS.get(format)!)),
      ...patterns.map(({ pattern, path }) => this.#pattern(pattern, path)),
    ];
    if (first === undefined) return undefined;
    return this.#within(demands, () => others.reduce((a, b) => intersect(a, b, this.#budget), first));
  }

  /** Names the schema whose automaton becomes too large. */
  #within(demands: Demands, make: () => Automaton): Automaton {
    try {
      return make();
    } catch (error) {
      if (!(error instanceof TooLarge)) throw error;
      throw refuse(
        demands.path ?? this.where,
        `What this schema asks of the value needs ${error.message}, which is the most. Ask for less at once: shorter lengths, narrower or simpler bounds.`,
      );
    }
  }

  #pattern(pattern: string, path: string): Automaton {
    let automaton = this.#patterns.get(pattern);
    if (automaton !== undefined) return automaton;
    try {
      automaton = patternAutomaton(pattern, this.#budget);
    } catch (error) {
      if (error instanceof TooLarge) {
        throw refuse(
          path,
          `The pattern needs ${error.message}, which is the most. Repeat less often, or anchor it with ^ and $.`,
        );
      }
      if (error instanceof UnusablePattern) throw refuse(path, `The pattern ${error.message}.`);
      throw error;
    }
    this.#patterns.set(pattern, automaton);
    return automaton;
  }

  #object(demands: Demands): Rule {
    const properties: Property[] = demands.properties().map(({ name, required, nodes }) => ({
      name,
      required,
      value: this.#ruleOf(nodes),
    }));
    const extra = demands.extraProperties();
    const mayBeEmpty = this.#mayBeEmpty(demands, properties);
    return writeObject(this.#builder, properties, extra && this.#ruleOf(extra), this.#json.blank, mayBeEmpty);
  }

  #mayBeEmpty(
    { minProperties: { count, path } }: Demands,
    properties: readonly { readonly required: boolean }[],
  ): boolean {
    const required = properties.filter((property) => property.required).length;
    if (count <= required) return true;
    if (count === 1) return false;
    throw refuse(
      path,
      `\`minProperties\` is ${count}, and ${required} properties are required; at most 1 is possible beyond what is required. Add names to \`required\`.`,
    );
  }

  /** Values of a list, each once at the most, in the order of the list: whatever else is unique has no grammar. */
  #subset(demands: Demands, path: string): Item[][] {
    const { minItems, maxItems = Number.POSITIVE_INFINITY } = demands;
    const { situation, choice } = expand({ nodes: demands.item(0), chosen: new Set() });
    const item = new Demands(situation.nodes);
    if (choice !== undefined || item.values === undefined || demands.places() > 0) {
      throw refuse(path, '`uniqueItems` is only supported where `items` lists its values by `enum`. Leave it out.');
    }
    return this.#sublists(this.#listedTexts(item), minItems, maxItems);
  }

  #sublists(texts: readonly string[], minItems: number, maxItems: number): Item[][] {
    const { length } = texts;
    if (minItems > length || minItems > maxItems) return [];
    const blank = once(this.#json.blank);
    // Beyond this it doesn't matter how many were written.
    const counted = Math.max(1, minItems, maxItems < length ? maxItems : 0);
    const after = texts.map(() => Array.from({ length: counted + 1 }, () => this.#builder.add()));
    const going = (from: number, before: number, separator: Item[]): Item[][] =>
      before >= maxItems
        ? []
        : texts.slice(from).map((text, at) => {
            const next = after[from + at]![Math.min(before + 1, counted)]!;
            return [...separator, literal(text), once(next)];
          });
    for (const [at, rules] of after.entries()) {
      for (const [before, rule] of rules.entries()) {
        const end: Item[][] = before >= minItems ? [[blank, '"]"']] : [];
        this.#builder.define(rule, [...end, ...going(at + 1, before, ['","', blank])]);
      }
    }
    const first = [...(minItems === 0 ? [['"]"']] : []), ...going(0, 0, [])];
    return first.map((alternative) => ['"["', blank, ...alternative]);
  }

  /** A row of rules, one for each place with a schema of its own, then the rest as often as it may come. */
  #array(demands: Demands): Item[][] {
    const { minItems, maxItems, uniquePath } = demands;
    if (uniquePath !== undefined && (maxItems ?? 2) > 1) return this.#subset(demands, uniquePath);
    const blank = once(this.#json.blank);
    const end: Item[] = [blank, '"]"'];
    const places = Math.min(demands.places(), maxItems ?? Number.POSITIVE_INFINITY);
    const rest = this.#ruleOf(demands.item(places));
    const next = this.#builder.add([['","', blank, once(rest)]]);
    /** What follows the item before `at`. */
    let following: Item[][] = [];
    const written = Math.max(places, 1);
    if (maxItems === undefined || maxItems >= written) {
      const more = this.#builder.times(next, Math.max(0, minItems - written), maxItems && maxItems - written);
      following = [[...more, ...end]];
    }
    for (let at = written - 1; at >= 0; at--) {
      const item = once(at < places ? this.#ruleOf(demands.item(at)) : rest);
      const after = once(this.#builder.add(following));
      const alternatives: Item[][] =
        maxItems !== undefined && maxItems <= at ? [] : [[...(at === 0 ? [] : ['","', blank]), item, after]];
      if (minItems <= at) alternatives.push(at === 0 ? ['"]"'] : end);
      following = alternatives;
    }
    return following.map((alternative) => ['"["', blank, ...alternative]);
  }
}
