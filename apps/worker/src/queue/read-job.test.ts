import { QueueJob, Sibling, Start } from '@millrace/contracts/protocol';
import { describe, expect, it } from 'vitest';
import { readJob } from './read-job.js';

const start = (sequenceId: number, siblings: readonly number[] = []): Start => ({
  ...Start.decode(new Uint8Array()),
  sequenceId,
  siblings: siblings.map((id) => ({ ...Sibling.decode(new Uint8Array()), sequenceId: id })),
});
const bytesOf = (...starts: Start[]) => QueueJob.encode({ starts, work: undefined }).finish();

describe('a job', () => {
  it('is what was sent', () => {
    expect(readJob(bytesOf(start(1, [2]), start(3)))?.starts.map(({ sequenceId }) => sequenceId)).toEqual([1, 3]);
  });

  it.each([
    ['nothing', new Uint8Array()],
    ['no protocol buffer', Buffer.from('garbage of some length')],
    ['one that has a sequence twice', bytesOf(start(1), start(1))],
    ['one that has a sequence again as a sibling', bytesOf(start(1, [2]), start(2))],
  ])('is none where it is %s', (_, bytes) => {
    expect(readJob(bytes)).toBeUndefined();
  });
});
