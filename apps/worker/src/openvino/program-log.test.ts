import { createLogger } from '@millrace/runtime';
import { describe, expect, it } from 'vitest';
import { ProgramLog } from './program-log.js';

function logged(): { readonly log: ProgramLog; readonly lines: string[]; readonly clock: { ms: number } } {
  const lines: string[] = [];
  const write = (line: string) => {
    const { level, msg } = JSON.parse(line) as { level: string; msg: string };
    lines.push(`${level} ${msg}`);
  };
  const clock = { ms: 1_000 };
  const logger = createLogger({ name: 'worker', level: 'debug', format: 'json' }, { write });
  return { log: new ProgramLog(logger, () => clock.ms), lines, clock };
}

describe('ProgramLog', () => {
  it('joins lines that were cut, and gives each the level that it names', () => {
    const { log, lines } = logged();
    log.push('INFO on');
    log.push('e\nERROR two\r\nTraceback\n\nDEBUG last');
    log.end();
    expect(lines).toEqual([
      'info OpenVINO: one',
      'error OpenVINO: two',
      'warn OpenVINO: Traceback',
      'debug OpenVINO: last',
    ]);
    expect(log.complaint).toBe('two');
  });

  it('cuts a line without an end, once, and goes on behind it', () => {
    const { log, lines } = logged();
    for (let piece = 0; piece < 100; piece++) log.push('x'.repeat(1_000));
    log.push('\nINFO next\n');
    expect(lines.map((line) => line.length)).toEqual([2_000 + 'warn OpenVINO: '.length, 'info OpenVINO: next'.length]);
  });

  it('leaves out what comes too fast, and says how much', () => {
    const { log, lines, clock } = logged();
    for (let line = 0; line < 70; line++) log.push(`INFO ${line}\n`);
    expect(lines).toHaveLength(50);
    clock.ms += 1_000;
    log.push('INFO later\n');
    expect(lines.slice(50)).toEqual(['warn OpenVINO: 20 more lines were left out.', 'info OpenVINO: later']);
  });

  it('hears a complaint even when it comes too fast to be written', () => {
    const { log } = logged();
    for (let line = 0; line < 60; line++) log.push('INFO noise\n');
    log.push('ERROR the reason\n');
    expect(log.complaint).toBe('the reason');
  });
});
