import type { Logger } from './logger.js';

/**
 * What nobody caught ends the process with status 1, after a line that says what it was: its state is not to be trusted any more, and
 * whoever watches it (`millrace serve`, an orchestrator) starts another. Node alone would do the same, but its words would be on
 * standard error in a format that no collector of logs reads.
 */
export function endOnFatalErrors(logger: Logger): void {
  process.on('uncaughtException', (error, origin) => {
    try {
      logger.fatal({ error, origin }, 'nobody caught this error: the process ends');
    } finally {
      process.exit(1);
    }
  });
}
