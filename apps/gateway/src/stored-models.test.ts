import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InferenceError, type ModelJobBody } from '@millrace/contracts';
import { FolderObjectStore, ModelBucket, ModelStore } from '@millrace/storage';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TestBed } from './gateway.testing.js';
import { EVERYBODY } from './keys/authenticator.js';
import { ANYONE } from './vocabulary.js';

const DEMO = join(import.meta.dirname, '../../../models/millrace-demo.gguf');
const demo = readFileSync(DEMO);
const DIGEST = '8d50b2c1794a52bd2893075d21579603cc2c895160bb2a161bbf56c2c3a1b2ed';

let root: string;
let bed: TestBed;
let store: ModelStore;
let objects: FolderObjectStore;
let keeper: Server;
let keeps: RequestListener;
beforeEach(async () => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'stored-')));
  keeps = (_request, response) =>
    void response.writeHead(200, { 'content-length': demo.length, etag: '"demo"' }).end(demo);
  keeper = createServer((request, response) => keeps(request, response));
  await new Promise<void>((resolve) => keeper.listen(0, '127.0.0.1', resolve));
  const only = (address: string) => address === '127.0.0.1';
  objects = new FolderObjectStore(join(root, 'bucket'));
  store = new ModelStore({
    folder: join(root, 'models'),
    bucket: new ModelBucket(objects),
    sources: {
      ...{ mayAsk: only, silenceMsMax: 5_000, hubUrl: url() },
      ...{ hubToken: undefined, openBucket: undefined },
    },
    freeBytes: async () => 1e12,
  });
  bed = await TestBed.start({ modelFetchesMax: 1 }, [{}], true, '127.0.0.1', {
    modelStore: store,
    authenticator: { ...EVERYBODY, isAdmin: () => true, admitAdmin: () => {} },
  });
});
afterEach(async () => {
  await bed[Symbol.asyncDispose]();
  keeper.closeAllConnections();
  await new Promise((resolve) => keeper.close(resolve));
  rmSync(root, { recursive: true, force: true });
});

const url = () => `http://127.0.0.1:${(keeper.address() as AddressInfo).port}`;
const never = new AbortController().signal;

async function call<T = Record<string, unknown>>(
  method: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; body: T }> {
  const json = body !== undefined && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } };
  const response = await fetch(`${bed.url}/admin/${path}`, { method, ...json });
  return { status: response.status, body: (await response.json()) as T };
}

/** How a job ended. */
async function ended(id: string): Promise<ModelJobBody> {
  const job = async () => (await call<ModelJobBody>('GET', `model-jobs/${id}`)).body;
  await expect.poll(async () => (await job()).status, { timeout: 15_000 }).not.toBe('running');
  return job();
}

async function add(body: object): Promise<ModelJobBody> {
  const { status, body: job } = await call<ModelJobBody>('POST', 'models', body);
  expect({ status, job }).toMatchObject({ status: 202, job: { object: 'model_job', status: 'running' } });
  return ended(job.id);
}

describe('/admin/models', () => {
  it('fetches a model, tells of it, verifies it, and forgets it', async () => {
    expect(await add({ source: `${url()}/demo.gguf`, push: true })).toMatchObject({
      ...{ kind: 'add', model: 'demo', status: 'done', problems: [], bytes: demo.length, bytes_all: demo.length },
    });
    expect((await call('GET', 'models/demo')).body).toEqual({
      ...{
        id: 'demo',
        object: 'stored_model',
        where: 'both',
        source: `${url()}/demo.gguf`,
        digest: DIGEST,
        size: demo.length,
      },
      ...{
        format: 'gguf',
        task: 'chat',
        has_template: false,
        quantisation: 'F16',
        licence: 'apache-2.0',
        added: expect.any(String),
      },
    });
    const verify = await call<ModelJobBody>('POST', 'models/demo/verify');
    expect(verify.status).toBe(202);
    expect(await ended(verify.body.id)).toMatchObject({ kind: 'verify', status: 'done' });
    expect((await call('DELETE', 'models/demo')).body).toEqual({ id: 'demo', object: 'stored_model', deleted: true });
    expect((await call('GET', 'models')).body).toMatchObject({ data: [{ id: 'demo', where: 'bucket' }] });
    const { body: pull } = await call<ModelJobBody>('POST', 'models/demo/pull');
    expect(await ended(pull.id)).toMatchObject({ kind: 'pull', status: 'done' });
    const { body: push } = await call<ModelJobBody>('POST', 'models/demo/push');
    expect(await ended(push.id)).toMatchObject({ kind: 'push', status: 'done' });
    expect((await call('DELETE', 'models/demo?bucket=true')).status).toBe(200);
    expect((await call('GET', 'models')).body).toEqual({ object: 'list', data: [], trouble: null });
    expect((await call('GET', 'model-jobs')).body).toMatchObject({
      data: [{ kind: 'push' }, { kind: 'pull' }, { kind: 'verify' }, { kind: 'add' }],
    });
  });

  it.each([
    [{ source: '/etc/passwd' }, 400, /adds no files of its own machine/],
    [{ source: '../../models/x.gguf' }, 400, /adds no files of its own machine/],
    [{ source: 'file:///etc/passwd' }, 400, /adds no files of its own machine/],
    [{ source: 'https://host/a.gguf', id: '../../etc/passwd' }, 400, /can't be the id of a model/],
    [{}, 400, /source/],
    [{ source: 'https://host/a.gguf', sha256: 'ABC' }, 400, /sha256/],
    [{ source: 'https://host/a.gguf', path: '/x' }, 400, /path/],
  ])('refuses %j at once', async (body, status, sentence) => {
    const answer = await call<{ error: { message: string } }>('POST', 'models', body);
    expect(answer.status).toBe(status);
    expect(answer.body.error.message).toMatch(sentence);
  });

  it.each(['..%2f..%2fetc%2fpasswd', '%2e%2e', 'a%2fb'])(
    'finds, verifies and removes no model called %s',
    async (id) => {
      for (const [method, path] of [
        ['GET', ''],
        ['DELETE', ''],
        ['POST', '/verify'],
        ['POST', '/pull'],
        ['POST', '/push'],
      ] as const)
        expect((await call(method, `models/${id}${path}`)).status, `${method} ${path}`).toBe(404);
    },
  );

  it('tells that a model can not be had, and asks nobody that it must not ask', async () => {
    keeps = (_request, response) => void response.writeHead(302, { location: 'http://169.254.169.254/latest/' }).end();
    expect(await add({ source: `${url()}/a.gguf` })).toMatchObject({
      ...{
        status: 'failed',
        problems: [expect.stringMatching(/169.254.169.254 is an address of this machine or of a private network/)],
      },
    });
    expect(await add({ source: 'nothing-of-this-name' })).toMatchObject({
      status: 'failed',
      problems: [expect.stringMatching(/is a path, and a gateway/)],
    });
    expect((await call('GET', 'models/nothing')).status).toBe(404);
    expect((await call('GET', 'model-jobs/job_none')).body).toMatchObject({ error: { code: 'model_job_not_found' } });
  });

  it('runs no more at a time than it may, and ends one that is cancelled', async () => {
    keeps = (_request, response) =>
      void response.writeHead(200, { 'content-length': demo.length, etag: '"demo"' }).write(demo.subarray(0, 1_000));
    const { body: job } = await call<ModelJobBody>('POST', 'models', { source: `${url()}/a.gguf` });
    await expect.poll(async () => (await call<ModelJobBody>('GET', `model-jobs/${job.id}`)).body.bytes).toBe(1_000);
    const second = await call<{ error: object }>('POST', 'models', { source: `${url()}/b.gguf` });
    expect(second).toMatchObject({
      status: 429,
      body: { error: { message: expect.stringMatching(/modelFetchesMax is 1/) } },
    });
    expect((await call('DELETE', `model-jobs/${job.id}`)).body).toMatchObject({ status: 'cancelled' });
  });

  it('lists and removes what is here while the bucket is silent', async () => {
    await store.add(DEMO, { id: 'demo', allowPaths: true }, () => {}, never);
    const silent = (...args: unknown[]) => {
      const signal = args.at(-1) as AbortSignal;
      return new Promise<never>((_resolve, reject) =>
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true }),
      );
    };
    Object.assign(objects, { stat: silent, list: silent });
    const [listed, other] = await Promise.all([call('GET', 'models'), call('GET', 'models/other')]);
    expect(listed).toMatchObject({
      status: 200,
      body: { data: [{ id: 'demo', where: 'here' }], trouble: expect.stringMatching(/did not answer in time/) },
    });
    expect(other).toMatchObject({
      status: 503,
      body: { error: { code: 'store_unavailable', message: expect.stringMatching(/did not answer within 10,000 ms/) } },
    });
    expect((await call('DELETE', 'models/demo')).status).toBe(200);
  }, 60_000);

  it('tells who removes a model that it is being fetched', async () => {
    keeps = (_request, response) =>
      void response.writeHead(200, { 'content-length': demo.length, etag: '"demo"' }).write(demo.subarray(0, 1_000));
    await store.add(DEMO, { id: 'demo', allowPaths: true }, () => {}, never);
    const stop = new AbortController();
    const phases: string[] = [];
    const again = store.add(
      `${url()}/a.gguf`,
      { id: 'demo', replace: true, allowPaths: false },
      ({ phase }) => phases.push(phase),
      stop.signal,
    );
    again.catch(() => {});
    await expect.poll(() => phases).toContain('fetching');
    expect(await call('DELETE', 'models/demo')).toMatchObject({
      status: 409,
      body: {
        error: { code: 'model_busy', message: expect.stringMatching(/demo is being fetched.*try again/) },
      },
    });
    stop.abort(new Error('enough'));
    await expect(again).rejects.toThrow('enough');
    expect((await call('DELETE', 'models/demo')).status).toBe(200);
  });

  it('has the workers load a model', async () => {
    const { status, body } = await call('POST', 'models/demo/warm');
    expect({ status, body }).toMatchObject({ status: 200, body: { workers: [{ ok: true }] } });
    expect((await call('POST', 'models/none/warm')).status).toBe(404);
  });
});

describe('a request for a model that no worker knows', () => {
  it('is told to come again where it was added a moment ago, and that it does not exist where it was not', async () => {
    const asked = () => bed.chat({ model: 'just-added' });
    // What was seen a moment ago is told for some seconds.
    const becomes = (status: number) =>
      expect.poll(async () => (await asked()).status, { timeout: 15_000, interval: 100 }).toBe(status);
    expect((await asked()).status).toBe(404);
    mkdirSync(join(root, 'files'));
    copyFileSync(DEMO, join(root, 'files/just-added.gguf'));
    await store.add(join(root, 'files/just-added.gguf'), { allowPaths: true }, () => {}, never);
    await becomes(503);
    const answer = await asked();
    expect(answer.headers.get('retry-after')).toBe('2');
    expect(await answer.json()).toMatchObject({
      error: { code: 'model_not_ready', message: expect.stringMatching(/`just-added` was added/) },
    });
    await store.push('just-added', () => {}, never);
    await store.remove('just-added', { fromBucket: false }, never);
    await becomes(503);
    await store.remove('just-added', { fromBucket: true }, never);
    await becomes(404);
    expect((await bed.chat({ model: '../../etc/passwd' })).status).toBe(404);
  }, 60_000);
});

describe('DELETE /v1/models', () => {
  it('takes a model out of the registry, in the shape that OpenAI’s clients know', async () => {
    await add({ source: `${url()}/demo.gguf` });
    expect(await bed.client.models.delete('demo')).toEqual({ id: 'demo', object: 'model', deleted: true });
    expect((await call('GET', 'models')).body).toMatchObject({ data: [] });
    await expect(bed.client.models.delete('demo')).rejects.toMatchObject({ status: 404, code: 'model_not_found' });
  });

  it('leaves what is in the bucket alone, unless it is told to', async () => {
    await add({ source: `${url()}/demo.gguf`, push: true });
    await bed.client.models.delete('demo');
    await expect(bed.client.models.delete('demo')).rejects.toMatchObject({ status: 400, param: 'bucket' });
    const gone = await bed.client.models.delete('demo', { query: { bucket: 'true' } });
    expect(gone).toEqual({ id: 'demo', object: 'model', deleted: true });
    expect((await call('GET', 'models')).body).toMatchObject({ data: [] });
  });

  it.each(['org/name', 'org%2Fname', '..%2f..%2fetc%2fpasswd', 'gpt-4o-mini', 'x'.repeat(900), '%00'])(
    'finds none that is called %s',
    async (id) => {
      const response = await fetch(`${bed.url}/v1/models/${id}`, { method: 'DELETE' });
      expect(response.status).toBe(404);
      expect(await response.json()).toMatchObject({
        error: { code: 'model_not_found', message: expect.stringMatching(/registry.*models list/) },
      });
    },
  );

  it('is a 403 without the admin key, be there such a model or not, and a 401 with a key that is unknown', async () => {
    await add({ source: `${url()}/demo.gguf` });
    const authenticator = {
      ...EVERYBODY,
      isAdmin: (presented?: string) => presented === 'admin',
      authenticate: (presented?: string) => {
        if (presented === 'stranger') throw new InferenceError('invalid_api_key', 'The API key is unknown.');
        return { ...ANYONE, keyId: presented };
      },
    };
    await using keyed = await TestBed.start({}, [{}], true, '127.0.0.1', { modelStore: store, authenticator });
    const as = (key: string, id: string) =>
      fetch(`${keyed.url}/v1/models/${id}`, { method: 'DELETE', headers: { authorization: `Bearer ${key}` } });
    for (const id of ['demo', 'nobody', 'org/name']) {
      const refused = await as('somebody', id);
      expect(refused.status, id).toBe(403);
      expect(await refused.json(), id).toMatchObject({ error: { code: 'admin_key_required' } });
      expect((await as('stranger', id)).status, id).toBe(401);
    }
    expect((await as('admin', 'demo')).status).toBe(200);
  });

  it('is a 403 where nobody needs a key', async () => {
    await using open = await TestBed.start();
    await expect(open.client.models.delete('demo')).rejects.toMatchObject({ status: 403, code: 'admin_key_required' });
  });
});
