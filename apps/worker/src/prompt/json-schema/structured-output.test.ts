import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { WAYS_MAX } from '../../token-engine/gbnf/check-ambiguity.js';
import { COMPILED_GBNF_LIMITS, GBNF_LIMITS, GBNF_REPETITIONS_MAX } from '../../token-engine/gbnf/gbnf.js';
import { MEMBERS_MAX, STACKS_MAX } from '../../token-engine/gbnf/gbnf-walk.js';
import { AUTOMATON_STATES_MAX, AUTOMATON_STEPS_MAX, PATTERN_STATES_MAX } from './automaton.js';
import { FORMATS } from './formats.js';
import { ALTERNATIVES_MAX } from './grammar-builder.js';
import { INDENTATION_MAX } from './json-rules.js';
import { PATTERN_DEPTH_MAX, PATTERN_LENGTH_MAX } from './pattern.js';
import { IGNORED_KEYWORDS, SUPPORTED_KEYWORDS } from './read-schema.js';
import { FORMAT_LENGTH_MAX, INTEGER_DIGITS_MAX, NUMBER_DIGITS_MAX, SCHEMA_LIMITS } from './schema-limits.js';

const page = readFileSync(new URL('../../../../../docs/reference/structured-output.md', import.meta.url), 'utf8');
const between = (from: string, to: string) => page.slice(page.indexOf(from), page.indexOf(to, page.indexOf(from)));
const quoted = (text: string) => [...text.matchAll(/`([^`]+)`/g)].map(([, name]) => name);
const inEnglish = (count: number) => count.toLocaleString('en-US');

describe('docs/reference/structured-output.md', () => {
  it('lists the keywords that are obeyed', () => {
    const rows = [...between('<!-- keywords', '<!-- formats').matchAll(/^\| `([^`]+)` \|/gm)].map(([, name]) => name);
    expect(rows).toEqual(Object.keys(SUPPORTED_KEYWORDS));
  });

  it('lists the formats, and what is ignored', () => {
    expect(quoted(between('`format` may be', '. Dates')).slice(1)).toEqual([...FORMATS.keys()]);
    const ignored = quoted(between('Without effect', '.\n')).filter((name) => name !== 'false');
    expect(ignored).toEqual(Object.keys(IGNORED_KEYWORDS));
  });

  it('tells every limit', () => {
    for (const [name, limit] of [...Object.entries(SCHEMA_LIMITS), ...Object.entries(GBNF_LIMITS)]) {
      expect(page).toContain(`(\`${name}\`) | ${inEnglish(limit)} |`);
    }
    const { textBytesMax, elementsMax, rulesMax } = COMPILED_GBNF_LIMITS;
    for (const row of [
      `characters of a pattern | ${inEnglish(PATTERN_LENGTH_MAX)} |`,
      `parentheses of a pattern | ${PATTERN_DEPTH_MAX} |`,
      `lengths included | ${inEnglish(PATTERN_STATES_MAX)} / ${inEnglish(AUTOMATON_STATES_MAX)} |`,
      `ranges of a schema | ${inEnglish(AUTOMATON_STEPS_MAX)} |`,
      `bytes / elements / rules | ${[textBytesMax, elementsMax, rulesMax].map(inEnglish).join(' / ')} |`,
      `at one place, of values listed, names or patterns | ${ALTERNATIVES_MAX} |`,
      `compared with at once | ${inEnglish(MEMBERS_MAX)} |`,
      `the numbers in \`{m,n}\` | ${inEnglish(GBNF_REPETITIONS_MAX)} |`,
      `leads to at once | ${STACKS_MAX} |`,
      `may be read | ${inEnglish(WAYS_MAX)} |`,
      `an indentation of up to ${INDENTATION_MAX};`,
      `strings have up to ${FORMAT_LENGTH_MAX} characters`,
      `up to ${INTEGER_DIGITS_MAX} digits and no exponent`,
      `up to ${NUMBER_DIGITS_MAX} digits and no exponent`,
    ]) {
      expect(page).toContain(row);
    }
  });
});
