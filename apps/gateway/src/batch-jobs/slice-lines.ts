import type { BatchFiles } from './batch-files.js';
import type { BatchRow } from './batch-row.js';
import type { Slice } from './check-input.js';
import { readBatchLine } from './read-batch-line.js';
import { readLines } from './read-lines.js';
import type { SliceLine } from './run-slice.js';

/** The lines of a slice but for the blank ones, all of them in memory: see `SLICE_BYTES_MAX`. Undefined: the input file is gone. */
export async function readSlice(
  files: Pick<BatchFiles, 'open'>,
  { input_file_id, key_id, endpoint }: Pick<BatchRow, 'input_file_id' | 'key_id' | 'endpoint'>,
  { firstLine: number, byteFrom, bytes }: Slice,
  lineBytesMax: number,
  signal: AbortSignal,
): Promise<readonly SliceLine[] | undefined> {
  await using file = await files.open(input_file_id, key_id, { from: byteFrom, bytes }, signal);
  if (file === undefined) return undefined;
  const lines: SliceLine[] = [];
  for await (const line of readLines(file.content, { lineBytesMax, byteFrom, number })) {
    const read = readBatchLine(line, endpoint, lineBytesMax);
    if (read.kind !== 'blank') lines.push({ number: line.number, read });
  }
  return lines;
}
