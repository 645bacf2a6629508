import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { millrace, ROOT, type Stack, startStack } from '../stack.js';

const ADMIN_KEY = 'an-admin-key-of-these-tests';

describe('openai: models of the registry', () => {
  const registry = mkdtempSync(join(tmpdir(), 'millrace-registry-'));
  let stack: Stack;
  const client = (apiKey: string) => new OpenAI({ baseURL: `${stack.url}/v1`, apiKey, maxRetries: 0 });
  beforeAll(async () => {
    const file = join(ROOT, 'models/millrace-demo.gguf');
    const added = await millrace(['models', 'add', file, '--id', 'spare', '--copy', '--models-dir', registry]);
    expect(added).toMatchObject({ status: 0 });
    stack = await startStack({ args: ['--models-dir', registry], environment: { MILLRACE_ADMIN_KEY: ADMIN_KEY } });
  }, 120_000);
  afterAll(async () => {
    await stack?.stop();
    rmSync(registry, { recursive: true, force: true });
  });

  it('are listed, retrieved and asked, and deleted with the admin key alone', async () => {
    const listed: string[] = [];
    for await (const { id } of client('any').models.list()) listed.push(id);
    expect(listed).toEqual(expect.arrayContaining(['millrace-demo', 'spare']));
    expect(await client('any').models.retrieve('spare')).toMatchObject({ id: 'spare', object: 'model' });
    const { choices } = await client('any').chat.completions.create({
      model: 'spare',
      messages: [{ role: 'user', content: 'What is the capital of France?' }],
    });
    expect(choices[0]?.message.content).toContain('Paris');

    await expect(client('any').models.delete('spare')).rejects.toBeInstanceOf(OpenAI.PermissionDeniedError);
    expect(await client(ADMIN_KEY).models.delete('spare')).toEqual({ id: 'spare', object: 'model', deleted: true });
    await expect(client(ADMIN_KEY).models.delete('spare')).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    const gone = () =>
      client('any')
        .models.retrieve('spare')
        .then(
          () => 'there',
          (error: unknown) => error,
        );
    await expect.poll(gone, { timeout: 20_000 }).toBeInstanceOf(OpenAI.NotFoundError);
  }, 60_000);
});
