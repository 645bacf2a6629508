import { afterAll, beforeAll, expect, it } from 'vitest';
import { type DocumentedShell, openDocumentedShell, shellBlocks } from './documented-shell.js';

let shell: DocumentedShell;
beforeAll(async () => {
  shell = await openDocumentedShell();
});
afterAll(() => shell.close());

it('docs/how-to/keys.md can be typed from its beginning to its end', () => {
  const blocks = shellBlocks('docs/how-to/keys.md');
  expect(blocks.length).toBeGreaterThan(5);
  // One shell for all of them: what one exports, the next uses.
  const output = shell.run(blocks.join('\n'));
  expect(output).toContain('Paris');
  expect(output).toContain('"object":"list"');
  expect(output).toMatch(/alice .*60 requests\/min/);
  expect(output).toMatch(/^ {2}limits {4}1,000,000 tokens\/day$/m);
  expect(output).toContain('"name":"made by curl"');
  expect(output).toContain('"has_more":true');
});
