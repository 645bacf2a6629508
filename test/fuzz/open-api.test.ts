import { expect, it } from 'vitest';
import { readOpenApi, resolvePointer } from './open-api.ts';

it('the committed document points to nothing that is not there', () => {
  const document = readOpenApi();
  const pointers = new Set(JSON.stringify(document).match(/(?<="\$ref":")[^"]+/g));
  expect(pointers.size).toBeGreaterThan(50);
  for (const pointer of pointers) expect(resolvePointer(document, pointer), pointer).toBeTypeOf('object');
});
