import { describe, expect, it } from 'vitest';
import { ProgressLine } from './progress-line.js';

function openLine(isTerminal: boolean) {
  let nowMs = 0;
  const written: string[] = [];
  const line = new ProgressLine({ write: (text) => void written.push(text), isTerminal }, () => nowMs);
  const at = (ms: number, bytes: number, bytesAll?: number, phase: 'fetching' | 'waiting' = 'fetching') => {
    nowMs = ms;
    line.show({ phase, bytes, bytesAll });
  };
  return { line, written, at };
}

describe('the progress of a fetch', () => {
  it('is a bar on a terminal, drawn over and cleaned up behind', () => {
    const { line, written, at } = openLine(true);
    at(0, 0, 100_000_000);
    at(50, 1_000_000, 100_000_000); // What takes no time is not worth a line.
    at(2_000, 50_000_000, 100_000_000);
    at(2_050, 51_000_000, 100_000_000);
    expect(written).toEqual(['\r\x1b[KFetching  [############............]   50 %  50 of 100 MB  25 MB/s  2 s left']);
    line[Symbol.dispose]();
    line[Symbol.dispose]();
    expect(written.slice(1)).toEqual(['\r\x1b[K']);
  });

  it('is a line now and then elsewhere, and needs no length', () => {
    const { line, written, at } = openLine(false);
    at(0, 0);
    at(5_000, 10_000_000);
    at(10_000, 20_000_000);
    at(20_000, 30_000_000, 60_000_000);
    line[Symbol.dispose]();
    expect(written).toEqual(['Fetching  20 MB  2.0 MB/s\n', 'Fetching   50 %  30 of 60 MB  1.5 MB/s  20 s left\n']);
  });

  it('says once that it waits for another process', () => {
    const { written, at } = openLine(false);
    at(0, 0, undefined, 'waiting');
    at(20_000, 0, undefined, 'waiting');
    expect(written).toEqual(['Another process is at this model; waiting for it …\n']);
  });
});
