import { isatty } from 'node:tty';
import { type DestinationStream, type Logger as PinoLogger, pino } from 'pino';
import pretty from 'pino-pretty';
import { logOutput, logOutputStream } from './log-output.js';

export type Logger = PinoLogger;

export interface LoggerOptions {
  /** Which process writes: `gateway`, `worker`, `serve`. */
  readonly name: string;
  readonly level: 'debug' | 'info' | 'warn' | 'error' | 'silent';
  readonly format: 'auto' | 'json' | 'text';
}

/**
 * Lines on standard output: for people on a terminal, JSON elsewhere.
 *
 * pino-pretty runs in this thread rather than in a worker thread: a line written just before a crash must be seen.
 */
export function createLogger(options: LoggerOptions, destination?: DestinationStream): Logger {
  const text = options.format === 'text' || (options.format === 'auto' && isatty(1));
  const stream = destination ?? (text ? forPeople() : logOutput());
  return pino(
    {
      level: options.level,
      base: { process: options.name },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: pino.stdSerializers.err },
    },
    stream,
  );
}

function forPeople(): DestinationStream {
  return pretty({
    destination: logOutputStream(),
    colorize: isatty(1),
    translateTime: 'SYS:HH:MM:ss.l',
    ignore: 'process',
    messageFormat: (line, messageKey) => `${line.process}: ${line[messageKey]}`,
    singleLine: true,
    errorLikeObjectKeys: ['error', 'err'],
  });
}
