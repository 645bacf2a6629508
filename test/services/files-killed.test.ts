import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Program, Stage, startGateway } from '../bench/programs.js';
import { ROOT } from '../e2e/stack.js';
import { pg } from './real-postgres.js';

const postgresUrl = process.env.TEST_POSTGRES_URL;
const PART = 'content-disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n';
const FILE = 'content-disposition: form-data; name="file"; filename="a"\r\n\r\n';

describe.skipIf(postgresUrl === undefined)(
  'a gateway that is killed while files come in (TEST_POSTGRES_URL is not set: `make test-services`)',
  { timeout: 120_000 },
  () => {
    const stage = new Stage();
    const schema = `files_killed_${randomBytes(6).toString('hex')}`;
    const database = new pg.Client({ connectionString: postgresUrl });
    let dataFolder: string;

    beforeAll(async () => {
      dataFolder = stage.folder('files-killed');
      await database.connect();
      await database.query(`create schema ${schema}`);
      await database.query(`set search_path to ${schema}`);
    });
    afterAll(async () => {
      await stage[Symbol.asyncDispose]();
      await database.query(`drop schema ${schema} cascade`);
      await database.end();
    });

    const start = (name: string) => {
      const url = new URL(postgresUrl!);
      url.searchParams.set('options', `-c search_path=${schema}`);
      return startGateway(stage, {
        name,
        dataFolder,
        modelsFile: join(ROOT, 'configs/models.yaml'),
        args: ['--ready-without-workers'],
        environment: { MILLRACE_POSTGRES_URL: url.href },
      });
    };
    const rows = async () => (await database.query('select id, state from files order by id')).rows as { id: string }[];
    const kept = () => readdirSync(join(dataFolder, 'files')).filter((name) => name.startsWith('file-'));
    const upload = (gateway: Program, bytes: number) => {
      const socket = connect(gateway.port, '127.0.0.1').on('error', () => {});
      const head = 'POST /v1/files HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: multipart/form-data; boundary=b\r\n';
      socket.write(`${head}content-length: 9000000\r\n\r\n--b\r\n${PART}--b\r\n${FILE}${'x'.repeat(bytes)}`);
    };
    const create = async (gateway: Program) => {
      const form = new FormData();
      form.append('purpose', 'user_data');
      form.append('file', new Blob(['content']), 'kept.txt');
      const response = await fetch(`${gateway.url}/v1/files`, { method: 'POST', body: form });
      return ((await response.json()) as { id: string }).id;
    };

    it('leaves rows of what was half there, and the next one removes them and keeps the rest', async () => {
      const killed = await start('the one that is killed');
      const id = await create(killed);
      for (const bytes of [1_000, 400_000, 3_000_000]) upload(killed, bytes);
      await expect.poll(async () => (await rows()).length, { timeout: 20_000 }).toBe(4);
      await killed.kill();
      expect(kept()).toEqual([id]);
      expect(await rows()).toHaveLength(4);
      // So long nobody else may think that they are left behind, and one gateway looks every ten minutes.
      await database.query("update files set expires_at = now() - interval '1 second' where state = 'pending'");
      await database.query('delete from record_chores');
      const next = await start('the next');
      await expect.poll(rows, { timeout: 20_000 }).toEqual([{ id, state: 'ready' }]);
      expect(kept()).toEqual([id]);
      expect(await (await fetch(`${next.url}/v1/files/${id}/content`)).text()).toBe('content');
    });
  },
);
