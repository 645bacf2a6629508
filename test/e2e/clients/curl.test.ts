import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import { url } from './our-side.js';

/** The document alone has more than Node's usual million. */
const OUTPUT_BYTES_MAX = 16 * 1024 * 1024;

const version = spawnSync('curl', ['--version'], { encoding: 'utf8' });
if (version.status !== 0) console.warn('Skipped: what is asked by curl, because there is no curl here.');

/** As one tries an API by hand. */
describe.skipIf(version.status !== 0)('curl', () => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-curl-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  const curl = async (path: string, ...args: string[]) =>
    (await promisify(execFile)('curl', ['-sS', ...args, url + path], { maxBuffer: OUTPUT_BYTES_MAX })).stdout;
  const json = (body: object) => ['-H', 'Content-Type: application/json', '-d', JSON.stringify(body)];
  const question = { messages: [{ role: 'user', content: 'What is the capital of France?' }], temperature: 0 };

  it('asks for an answer, whole and streamed', async () => {
    expect(await curl('/v1/chat/completions', ...json(question))).toContain('Paris');
    const streamed = await curl('/v1/chat/completions', '-N', ...json({ ...question, stream: true }));
    expect(streamed).toMatch(/^data: \{.*\n\ndata: [\s\S]*\n\ndata: \[DONE\]\n\n$/);
  });

  it('sends a file and takes it back', async () => {
    const file = join(folder, 'letter.txt');
    writeFileSync(file, 'Anna wrote the letter.');
    const made = JSON.parse(await curl('/v1/files', '-F', `file=@${file}`, '-F', 'purpose=user_data')) as {
      id: string;
    };
    expect(await curl(`/v1/files/${made.id}/content`)).toBe('Anna wrote the letter.');
    expect(JSON.parse(await curl(`/v1/files/${made.id}`, '-X', 'DELETE'))).toMatchObject({ deleted: true });
  });

  it('sees the status, the headers and the words of a refusal', async () => {
    const refused = await curl('/v1/chat/completions', '-i', ...json({ messages: 5 }));
    expect(refused).toMatch(/^HTTP\/1\.1 400 /);
    expect(refused).toMatch(/^x-request-id: req_/m);
    expect(refused).toContain('`messages` is 5; it must be a list.');
  });

  it('may wait for leave to send a large body, and compress nothing', async () => {
    const file = join(folder, 'large.json');
    writeFileSync(file, JSON.stringify({ model: 'millrace-demo-embed', input: 'word '.repeat(400_000) }));
    const answer = await curl(
      '/v1/embeddings',
      '--compressed',
      '-H',
      'Expect: 100-continue',
      '-H',
      'Content-Type: application/json',
      '--data-binary',
      `@${file}`,
    );
    expect(answer).toContain('context_length_exceeded');
  });

  it('looks at models and at the document', async () => {
    expect(await curl('/v1/models')).toContain('millrace-demo-embed');
    expect(JSON.parse(await curl('/openapi.json'))).toMatchObject({ openapi: '3.1.0' });
    expect(await curl('/v1/models', '-I')).toMatch(/^HTTP\/1\.1 200 /);
  });
});
