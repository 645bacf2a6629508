import { describe, expect, it } from 'vitest';
import { readSlice } from './slice-lines.js';

const BATCH = { input_file_id: 'file-1', key_id: null, endpoint: '/v1/completions' } as const;
const line = (id: string) => JSON.stringify({ custom_id: id, method: 'POST', url: '/v1/completions', body: {} });

async function sliceOf(text: string) {
  const content = Buffer.from(text);
  const open = async () => ({
    content: (async function* () {
      yield content;
    })(),
    [Symbol.asyncDispose]: async () => {},
  });
  const slice = { slice: 0, firstLine: 11, byteFrom: 100, bytes: content.length, duplicates: [] };
  return readSlice({ open }, BATCH, slice, 1_000, new AbortController().signal);
}

describe('the lines of a slice', () => {
  it('are counted with the blank ones, of which none is kept', async () => {
    const lines = await sliceOf(`\n${line('a')}\n${' \n'.repeat(9_000)}no JSON\n\n`);
    expect(lines).toMatchObject([
      { number: 12, read: { kind: 'request', customId: 'a' } },
      { number: 9_013, read: { kind: 'broken' } },
    ]);
  });

  it('are told to be gone with their file', async () => {
    const open = async () => undefined;
    const slice = { slice: 0, firstLine: 1, byteFrom: 0, bytes: 1, duplicates: [] };
    expect(await readSlice({ open }, BATCH, slice, 1_000, new AbortController().signal)).toBeUndefined();
  });
});
