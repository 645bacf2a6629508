import { afterAll, beforeAll, expect, it } from 'vitest';
import { type DocumentedShell, openDocumentedShell, shellBlocks } from './documented-shell.js';

let shell: DocumentedShell;
beforeAll(async () => {
  shell = await openDocumentedShell();
});
afterAll(() => shell.close());

it('docs/how-to/anthropic.md says what its commands print', () => {
  const blocks = shellBlocks('docs/how-to/anthropic.md');
  const expected = [
    /"content":\[\{"type":"text","text":"The capital of France is Paris\.","citations":null\}\],"stop_reason":"end_turn"/,
    /^The capital of France is Paris\.\nIt is 21 degrees and sunny in Oslo\.\n$/,
    /^\{"input_tokens":15\}$/,
    /^\{"data":\[\{"type":"model","id":"millrace-demo"/,
  ];
  expect(blocks).toHaveLength(expected.length);
  for (const [index, block] of blocks.entries()) expect(shell.run(block)).toMatch(expected[index]!);
});
