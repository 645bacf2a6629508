import type { OutputFormat } from '@millrace/contracts';
import { describe, expect, it } from 'vitest';
import type { Grammar } from '../token-engine/token-engine.js';
import { OutputGrammars } from './output-grammars.js';

function openGrammars() {
  const opened: string[] = [];
  const openGrammar = (gbnf: string) => {
    opened.push(gbnf);
    return {} as Grammar;
  };
  return { grammars: new OutputGrammars({ openGrammar }), opened };
}

/** Each property may be left out, so that the grammar is far longer than the schema. */
function schemaOf(name: string, properties: number): OutputFormat {
  const names = Array.from({ length: properties }, (_, index) => [`${name}${index}`, { type: 'string', maxLength: 9 }]);
  const schema = { type: 'object', properties: Object.fromEntries(names), required: [], additionalProperties: false };
  return { kind: 'schema', schema };
}

describe('OutputGrammars', () => {
  it('reads a grammar once, however often it is asked for', () => {
    const { grammars, opened } = openGrammars();
    const format: OutputFormat = { kind: 'grammar', grammar: 'root ::= "a"' };
    expect(grammars.grammarOf(format)).toBe(grammars.grammarOf({ ...format }));
    expect(opened).toHaveLength(1);
  });

  it('forgets the oldest when those it knows become too large', () => {
    const { grammars, opened } = openGrammars();
    const formats = Array.from({ length: 12 }, (_, index) => schemaOf(`name${index}_`, 400));
    for (const format of formats) grammars.grammarOf(format);
    expect(opened.join('').length).toBeGreaterThan(1024 * 1024);
    grammars.grammarOf(formats.at(-1)!);
    expect(opened).toHaveLength(12);
    grammars.grammarOf(formats[0]!);
    expect(opened).toHaveLength(13);
  });
});
