import { expect, it } from 'vitest';
import { createLogger } from './logger.js';

it('writes JSON lines that say which process wrote them', () => {
  const lines: string[] = [];
  const logger = createLogger({ name: 'worker', level: 'info', format: 'json' }, { write: (line) => lines.push(line) });
  logger.info({ model: 'tiny' }, 'loaded');
  logger.debug('not at this level');
  logger.error({ error: new Error('broken') }, 'failed');

  const [loaded, failed, ...more] = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(loaded).toMatchObject({ level: 'info', process: 'worker', model: 'tiny', msg: 'loaded' });
  expect(failed).toMatchObject({ level: 'error', error: { message: 'broken' } });
  expect(more).toEqual([]);
});
