import { InferenceError } from '@millrace/contracts';
import type * as z from 'zod';
import { paramPath } from './param-path.js';
import { show } from './show-value.js';

type Issue = z.core.$ZodIssue;

/**
 * Lists and objects stop at the first entry that is wrong: only that one is told, and a body of a few megabytes can hold
 * millions of them, each of which would cost a hundred times its size. Zod 4.6 knows this only inside (`validate` uses
 * it); bad-input.test.ts would notice if it went.
 */
const FIRST_WRONG = { abortEarly: true } as z.core.ParseContext<Issue>;

/**
 * The body as the schema types it; the first thing that is wrong with it becomes a sentence and a `param`.
 *
 * @param within where the body stands, if it is a part of the whole.
 */
export function checkShape<T>(schema: z.ZodType<T>, body: unknown, within?: string): T {
  const result = schema.safeParse(body, FIRST_WRONG);
  if (result.success) return result.data;
  const { path, issue } = closestIssue(result.error.issues[0]!, body);
  const param = (within ?? '') + paramPath(path);
  throw new InferenceError('invalid_request', sentence(issue, param, valueAt(body, path)), { param });
}

interface Located {
  readonly issue: Issue;
  /** From the top of the body; an issue within a union only knows its own end of it. */
  readonly path: readonly PropertyKey[];
}

/**
 * A union fails with the complaints of all its branches. The one to tell is of the branch that the caller meant: one
 * whose own type fits (a list was given, so speak of the list's items), and of those the one that got furthest.
 */
function closestIssue(issue: Issue, body: unknown, above: readonly PropertyKey[] = []): Located {
  const path = [...above, ...issue.path];
  if (issue.code !== 'invalid_union') return { issue, path };
  const value = valueAt(body, path);
  const meant = issue.errors
    .map((branch) => branch[0])
    .filter((first) => first !== undefined)
    .filter((first) => first.path.length > 0 || !isOfAnotherType(first, value))
    .sort((a, b) => progress(b) - progress(a))[0];
  return meant ? closestIssue(meant, body, path) : { issue, path };
}

/** Of a branch that lists its values, none is of the type that was given: an object is no misspelt word. */
function isOfAnotherType(issue: Issue, value: unknown): boolean {
  if (issue.code !== 'invalid_value') return issue.code === 'invalid_type';
  return issue.values.every((one) => typeof one !== typeof value);
}

const MINDS_THE_TYPE = -2;

/**
 * A wrong value tells more than a wrong type, and a later item of a list more than an earlier one. A branch that minds the `type` is for
 * other values than one that takes it and minds what stands behind.
 */
function progress(issue: Issue): number {
  if (issue.path.length === 1 && issue.path[0] === 'type') return MINDS_THE_TYPE;
  const index = issue.path.find((key) => typeof key === 'number') ?? -1;
  return issue.code === 'invalid_type' ? index : Number.MAX_SAFE_INTEGER;
}

function sentence(issue: Issue, param: string, value: unknown): string {
  // What is wrong is the key: the caller chose it, and its value may be as it should.
  if (issue.code === 'invalid_key' && issue.issues[0] !== undefined)
    return `The key of ${sentence(issue.issues[0], param, issue.path.at(-1))}`;
  if (value === undefined) return `\`${param}\` is required${expectation(issue)}.`;
  // Lists and texts are too long or too short by their length, which is then what to tell.
  const isLong = isBound(issue) && (issue.origin === 'string' || issue.origin === 'array');
  const length = isLong && (typeof value === 'string' || Array.isArray(value)) ? value.length : undefined;
  const given = length === undefined ? `is ${show(value)}` : `has ${count(length, nounOf(issue))}`;
  return `\`${param}\` ${given}${expectation(issue)}.`;
}

function expectation(issue: Issue): string {
  switch (issue.code) {
    case 'invalid_type':
      return `; it must be ${named(issue.expected)}`;
    case 'invalid_value':
      return `; it must be ${alternatives(issue.values.map(show))}`;
    case 'too_small':
      return `; it ${isOurs(issue) ? issue.message : bound(issue, issue.minimum, 'at least', 'above')}`;
    case 'too_big':
      return `; it ${isOurs(issue) ? issue.message : bound(issue, issue.maximum, 'at most', 'below')}`;
    case 'invalid_format':
    case 'custom':
      return `; it ${issue.message}`;
    case 'invalid_union':
      return unionExpectation(issue);
    default:
      return '; it is not what this parameter takes';
  }
}

/** Messages of our own schemas begin with `must`; zod's own begin with a capital. */
function isOurs(issue: Issue): boolean {
  return issue.message.startsWith('must ');
}

type Bound = Extract<Issue, { code: 'too_small' | 'too_big' }>;

function isBound(issue: Issue): issue is Bound {
  return issue.code === 'too_small' || issue.code === 'too_big';
}

function bound(issue: Bound, limit: number | bigint, inclusive: string, exclusive: string): string {
  if (issue.origin === 'string' || issue.origin === 'array') return `must have ${inclusive} ${limit}`;
  return `must be ${issue.inclusive === false ? exclusive : inclusive} ${limit}`;
}

function nounOf(issue: Issue): string {
  return isBound(issue) && issue.origin === 'string' ? 'character' : 'item';
}

function unionExpectation(issue: Extract<Issue, { code: 'invalid_union' }>): string {
  // Among them is undefined where the key may be left out: nobody is told to write that.
  const options: readonly unknown[] = 'options' in issue && Array.isArray(issue.options) ? issue.options : [];
  const discriminators = options.filter((one) => one !== undefined).map(show);
  if (discriminators.length > 0) return `; it must be ${alternatives(discriminators)}`;
  const branches = issue.errors.map((branch) => branch[0]).flatMap((first) => (first ? optionsOf(first) : []));
  return `; it must be ${alternatives([...new Set(branches)])}`;
}

function optionsOf(issue: Issue): readonly string[] {
  if (issue.code === 'invalid_value') return issue.values.map(show);
  return issue.code === 'invalid_type' ? [named(issue.expected)] : [];
}

const NAMES: Readonly<Record<string, string>> = {
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  record: 'an object',
  null: 'null',
};

function named(type: string): string {
  return NAMES[type] ?? type;
}

function alternatives(words: readonly string[]): string {
  return words.length < 2 ? (words[0] ?? 'of another type') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}

function count(amount: number, noun: string): string {
  return `${amount} ${noun}${amount === 1 ? '' : 's'}`;
}

function valueAt(body: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (value, key) => (typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined),
    body,
  );
}
