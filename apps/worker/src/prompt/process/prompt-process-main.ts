import { InferenceError } from '@millrace/contracts';
import type { ModelTemplates } from '../templates/model-templates.js';
import { PromptDesk } from './prompt-desk.js';
import type { JobMessage, ProcessMessage } from './prompt-wire.js';
import type { PromptJob } from './prompt-work.js';

/**
 * The entry of the prompt process: takes jobs from the worker that started it, one at a time, and ends with it.
 *
 * Its only argument is the time limit of a rendering, in milliseconds.
 */
const desk = new PromptDesk(Number(process.argv[2]));

// The library throws to find out that a variable is not set, and to go on with a loop: nobody reads those stacks.
Error.stackTraceLimit = 0;

process.on('message', (message: JobMessage) => tell(answerOf(message)));
process.on('disconnect', () => process.exit(0));
// Ctrl-C reaches the whole group of processes; the worker still has answers to finish, and ends this one.
process.on('SIGINT', () => undefined);
process.on('SIGTERM', () => undefined);
tell({ kind: 'ready' });

function answerOf({ id, job: json, model }: JobMessage): ProcessMessage {
  try {
    const job = JSON.parse(json) as { model?: string };
    if (job.model !== undefined && model === undefined && !desk.knows(job.model)) return { kind: 'unknownModel', id };
    const whole = job.model === undefined ? job : { ...job, model: model ?? ({ key: job.model } as ModelTemplates) };
    return { kind: 'done', id, result: JSON.stringify(desk.do(whole as PromptJob)) };
  } catch (error) {
    if (!(error instanceof InferenceError)) {
      return { kind: 'failed', id, message: error instanceof Error ? error.message : String(error) };
    }
    const { code, message, details } = error;
    return { kind: 'refused', id, error: { code, message, param: details.param } };
  }
}

function tell(message: ProcessMessage): void {
  process.send?.(message);
}
