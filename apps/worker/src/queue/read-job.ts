import { QueueJob } from '@millrace/contracts/protocol';

/** What is asked for; undefined: the bytes are no job, or one that no gateway of ours would send, such as with a sequence twice. */
export function readJob(bytes: Uint8Array): QueueJob | undefined {
  if (bytes.length === 0) return undefined;
  let job: QueueJob;
  try {
    job = QueueJob.decode(bytes);
  } catch {
    return undefined;
  }
  const numbers = job.starts.flatMap((start) => [start, ...start.siblings]).map(({ sequenceId }) => sequenceId);
  return new Set(numbers).size === numbers.length ? job : undefined;
}
