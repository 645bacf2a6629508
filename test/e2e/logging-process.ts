import { setTimeout as sleep } from 'node:timers/promises';
import { createLogger, endOnFatalErrors, lostLogLines } from '@millrace/runtime';

/**
 * A process that logs as ours do: `logging-process.ts FORMAT LINES [throw|reject]`. It writes so many lines of a kilobyte, says on
 * standard error how many were lost, and ends as it is told.
 */
const [format, lines, end] = process.argv.slice(2) as ['json' | 'text', string, string?];

const logger = createLogger({ name: 'gateway', level: 'info', format });
endOnFatalErrors(logger);
for (let line = 0; line < Number(lines); line++) logger.info({ line, filler: 'x'.repeat(1_000) }, 'a line');
await sleep(20);
process.stderr.write(`lost ${lostLogLines()}\n`);
if (end === 'throw') setTimeout(() => JSON.parse('{'));
if (end === 'reject') void Promise.reject(new Error('unhandled'));
await sleep(100);
process.stderr.write('still here\n');
