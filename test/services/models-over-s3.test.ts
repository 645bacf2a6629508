import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CertificateFolder, TestAuthority } from '../../libs/runtime/src/certificates.testing.js';
import { type BucketSettings, bucketOfItsOwn, removeBucket } from '../../libs/storage/src/adapters/bucket.testing.js';
import { freePort } from './real-service.ts';

const ROOT = join(import.meta.dirname, '../..');
/** As it is built. */
const MILLRACE = join(ROOT, 'apps/cli/dist/main.js');
const DEMO = join(ROOT, 'models/millrace-demo.gguf');
const ADMIN_KEY = 'the-admin-key-of-this-very-test';
const PATIENCE_MS = 60_000;

const url = process.env.TEST_S3_URL; // set by `make test-services`

describe.skipIf(url === undefined)(
  'a bucket of models, over TLS, with a real S3 server (TEST_S3_URL)',
  { timeout: 180_000 },
  () => {
    const real = URL.parse(url ?? 'http://a:b@127.0.0.1:1')!;
    const root = realpathSync(mkdtempSync(join(tmpdir(), 'models-over-s3-')));
    const certificates = new CertificateFolder();
    const started: ChildProcess[] = [];
    /** Of models, as they were asked for. */
    const fetched: string[] = [];
    let bucket: BucketSettings;
    let front: Server;
    let settings: NodeJS.ProcessEnv;

    beforeAll(async () => {
      bucket = await bucketOfItsOwn(url!);
      const authority = await TestAuthority.make();
      front = createServer(await authority.sign('127.0.0.1'), (asked, answer) => {
        if (asked.method === 'GET' && asked.url!.includes('.gguf')) fetched.push(asked.url!);
        const { method, headers, url: path } = asked;
        const passed = request({ host: real.hostname, port: real.port, method, headers, path }, (response) => {
          answer.writeHead(response.statusCode!, response.headers);
          response.pipe(answer);
        });
        passed.on('error', () => answer.destroy());
        asked.pipe(passed);
      });
      await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve));
      settings = {
        MILLRACE_S3_URL: `https://127.0.0.1:${(front.address() as AddressInfo).port}`,
        MILLRACE_S3_BUCKET: bucket.s3Bucket,
        MILLRACE_S3_ACCESS_KEY: bucket.s3AccessKey,
        MILLRACE_S3_SECRET_KEY: bucket.s3SecretKey,
        MILLRACE_S3_TLS_CA_FILE: certificates.write('ca.pem', authority.cert),
        MILLRACE_MODELS_FILE: join(root, 'models.yaml'),
        MILLRACE_MODELS_REFRESH_MS: '200',
        MILLRACE_ADMIN_KEY: ADMIN_KEY,
        ...{
          MILLRACE_THREADS: '1',
          MILLRACE_MAX_BATCH_SIZE: '2',
          MILLRACE_TRIAL_LOAD: 'false',
          MILLRACE_LOG_LEVEL: 'warn',
        },
      };
      const models = ['models:', '  - id: own-name', '    registry: shared', '    context: 512'];
      writeFileSync(join(root, 'models.yaml'), `${models.join('\n')}\n`);
    });
    afterAll(async () => {
      for (const child of started) child.kill('SIGKILL');
      await Promise.all(started.map((child) => child.exitCode ?? child.signalCode ?? once(child, 'exit')));
      front?.closeAllConnections();
      front?.close();
      certificates[Symbol.dispose]();
      rmSync(root, { recursive: true, force: true, maxRetries: 5 });
    });

    const on = (machine: string): NodeJS.ProcessEnv => ({
      ...process.env,
      ...settings,
      ...Object.fromEntries(
        ['MODELS_DIR', 'CACHE_FOLDER', 'DATA_FOLDER'].map((name) => [
          `MILLRACE_${name}`,
          join(root, machine, name.toLowerCase()),
        ]),
      ),
    });

    function millrace(machine: string, args: readonly string[], more: NodeJS.ProcessEnv = {}): Promise<string> {
      return new Promise((resolve) => {
        const options = { cwd: ROOT, env: { ...on(machine), ...more }, timeout: PATIENCE_MS };
        execFile(process.execPath, [MILLRACE, ...args], options, (_error, out, err) => resolve(out + err));
      });
    }

    function start(machine: string, ...args: string[]): void {
      started.push(spawn(process.execPath, [MILLRACE, ...args], { cwd: ROOT, env: on(machine), stdio: 'ignore' }));
    }

    it('is filled by one machine, and served by two workers of another, which fetch once', async () => {
      expect(await millrace('desk', ['models', 'list'], { MILLRACE_S3_TLS_CA_FILE: '' })).toMatch(
        /The object store at 127.0.0.1:\d+ can't be used: .*certificate/,
      );
      expect(await millrace('desk', ['models', 'add', DEMO, '--id', 'shared', '--push'])).toMatch(
        /shared is added, and in the bucket/,
      );

      const [port, first, second] = [await freePort(), await freePort(), await freePort()];
      for (const workerPort of [first, second]) start('rack', 'worker', '--worker-port', `${workerPort}`);
      start('rack', 'gateway', '--port', `${port}`, '--workers', `127.0.0.1:${first},127.0.0.1:${second}`);
      const gateway = `http://127.0.0.1:${port}`;
      const ready = async () => {
        const answer = await fetch(`${gateway}/health`).catch(() => undefined);
        const { workers = [] } = ((await answer?.json()) ?? {}) as { workers?: { state: string }[] };
        return workers.filter(({ state }) => state === 'ready').length;
      };
      await expect.poll(ready, { timeout: PATIENCE_MS }).toBe(2);
      // Its database, too, takes its time to start.
      const status = () => fetch(`${gateway}/readyz`).then((answer) => answer.status);
      await expect.poll(status, { timeout: PATIENCE_MS }).toBe(200);
      const ask = async (model: string) => {
        const messages = [{ role: 'user', content: 'What is the capital of France?' }];
        const answer = await fetch(`${gateway}/v1/chat/completions`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ model, messages, temperature: 0, max_tokens: 16 }),
        });
        return JSON.stringify(await answer.json());
      };
      // Both had it from the start, as the models file says; and under its own name as well.
      expect(await ask('own-name')).toContain('Paris');
      expect(await ask('shared')).toContain('Paris');
      expect(await millrace('desk', ['models', 'warm', 'shared', '--url', gateway])).toMatch(
        /^(127.0.0.1:\d+: has it loaded.\n){2}$/,
      );
      expect(fetched).toHaveLength(1);
      expect(readdirSync(join(root, 'rack/cache_folder/models')).filter((name) => !name.startsWith('.'))).toHaveLength(
        1,
      );

      // Another is added, and taken away again, while they run.
      await millrace('desk', ['models', 'add', DEMO, '--id', 'late', '--push']);
      await expect.poll(() => ask('late'), { timeout: PATIENCE_MS }).toContain('Paris');
      await millrace('desk', ['models', 'remove', 'late', '--bucket']);
      await expect.poll(() => ask('late'), { timeout: PATIENCE_MS }).toContain('model_not_found');

      // The bucket vanishes: what was fetched is served on.
      await millrace('desk', ['models', 'remove', 'shared', '--bucket']);
      expect(await millrace('desk', ['models', 'add', DEMO, '--id', 'shared', '--push'])).toContain('in the bucket');
      await removeBucket(url!, bucket.s3Bucket);
      expect(await ask('own-name')).toContain('Paris');
      expect(await millrace('desk', ['models', 'list'])).toContain(`The bucket ${bucket.s3Bucket} is not there`);
      expect(await ask('own-name')).toContain('Paris');
    });
  },
);
