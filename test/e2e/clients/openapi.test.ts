import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { validate } from '@readme/openapi-parser';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ROOT } from '../stack.js';
import { url } from './our-side.js';

const run = promisify(execFile);
const HERE = import.meta.dirname;

/** What somebody writes who has nothing but the generated types. */
const USE = `type { components, operations, paths } from './openapi.js';
type Chat = components['schemas']['CreateChatCompletionRequest'];
export const ask: Chat = { model: 'millrace-demo', messages: [{ role: 'user', content: 'Hello' }] };
export type Listed = paths['/v1/models']['get']['responses'][200]['content']['application/json'];
export type Ids = keyof operations;
// @ts-expect-error: a chat without messages is none.
export const bad: Chat = { model: 'millrace-demo' };
`;

describe('the OpenAPI document', () => {
  it('is valid to @readme/openapi-parser, as it is served', async () => {
    const document = await (await fetch(`${url}/openapi.json`)).json();
    expect(await validate(document)).toMatchObject({ valid: true, warnings: [] });
  });

  it('becomes types by openapi-typescript, which compile under --strict', { timeout: 120_000 }, async () => {
    const folder = await mkdtemp(join(HERE, 'generated-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const types = join(folder, 'openapi.d.ts');
    await run(join(HERE, 'node_modules/.bin/openapi-typescript'), [`${url}/openapi.json`, '--output', types]);
    const use = join(folder, 'use.ts');
    await writeFile(use, `import ${USE}`);
    const options = ['--ignoreConfig', '--strict', '--noEmit', '--module', 'nodenext', '--types', ''];
    const tsc = join(ROOT, 'node_modules/.bin/tsc');
    const { stdout } = await run(tsc, [...options, types, use]).catch((error: { stdout: string }) => error);
    expect(stdout).toBe('');
  });
});
