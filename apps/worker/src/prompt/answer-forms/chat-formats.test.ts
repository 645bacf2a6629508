import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { BLANKS_HELD_MAX, HEAD_CHARACTERS_MAX, MARK_CHARACTERS_MAX } from './form-reader.js';
import { FORMS, type Form } from './forms.js';

const page = readFileSync(new URL('../../../../../docs/reference/chat-formats.md', import.meta.url), 'utf8');
const table = page.slice(page.indexOf('<!-- forms -->'), page.indexOf('<!-- /forms -->')).replaceAll('\\|', '|');
const rows = table.split('\n').filter((line) => line.startsWith('| `'));

describe('docs/reference/chat-formats.md', () => {
  it('lists the forms in the order in which they are tried', () => {
    expect(rows.map((row) => row.split('`')[1])).toEqual(Object.keys(FORMS));
  });

  it('tells the marks of the reasoning, and who cites', () => {
    for (const [at, form] of Object.values<Form>(FORMS).entries()) {
      for (const { open, close } of form.reasoning) expect(rows[at]).toContain(`\`${open}\` … \`${close}\``);
      expect(rows[at]!.includes('<co')).toBe(form.citations !== undefined);
    }
  });

  it('tells the limits', () => {
    const limits = { BLANKS_HELD_MAX, MARK_CHARACTERS_MAX, HEAD_CHARACTERS_MAX };
    for (const [name, limit] of Object.entries(limits)) {
      expect(page.replaceAll('\n', ' ')).toMatch(
        new RegExp(`${limit.toLocaleString('en-US')}\\b[^.]{0,60}\\(\`${name}\`\\)`),
      );
    }
  });
});
