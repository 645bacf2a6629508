import { Writable } from 'node:stream';
import { type DestinationStream, pino } from 'pino';

/** What is kept while nothing can be written, and tried again with the next line. */
const UNWRITTEN_BYTES_MAX = 1024 * 1024;

let lost = 0;

/** Lines of the log that were lost since the process began, because standard output took none for too long: a full disk, mostly. */
export function lostLogLines(): number {
  return lost;
}

/**
 * Standard output, in this thread and at once: a line written just before a crash must be seen. What can't be written never fails
 * whoever wrote it, since a request would end with a 500 for want of room for the line that tells of it.
 */
export function logOutput(): DestinationStream {
  const output = pino.destination({ fd: 1, sync: true, maxLength: UNWRITTEN_BYTES_MAX });
  output.on('error', () => {});
  output.on('drop', () => {
    lost++;
  });
  return output;
}

/** The same for what pipes into it, and would end for good at the first error. */
export function logOutputStream(): Writable {
  const output = logOutput();
  return new Writable({
    decodeStrings: false,
    write: (text: string, _encoding, done) => {
      output.write(text);
      done();
    },
  });
}
