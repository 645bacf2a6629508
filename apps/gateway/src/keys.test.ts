import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type KeyBody, type NewKeyBody, readyzSchema, type Settings } from '@millrace/contracts';
import { createLogger } from '@millrace/runtime';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { eventsOf, rawExchange, TestBed } from './gateway.testing.js';
import { MemoryKeyNews } from './keys/adapters/memory-key-news.js';
import { makeApiKey } from './keys/api-key.js';
import { KeyRing } from './keys/key-ring.js';
import { SqlKeySource } from './keys/key-source.js';
import { KeyStore } from './keys/key-store.js';
import { EmbeddedDatabase } from './stores/adapters/pglite/embedded-database.js';
import { MigratedDatabase } from './stores/migrated-database.js';
import { readMigrations } from './stores/migration-files.js';
import { DatabaseUnavailable, type SqlDatabase } from './stores/sql-database.js';

const ADMIN_KEY = 'mr-admin-of-this-test';
const KEY_SECRET = 'a secret of at least 32 characters';
const logger = createLogger({ name: 'test', level: 'silent', format: 'json' });

/** A database that can be taken away. */
class FailingDatabase implements SqlDatabase {
  away = false;
  constructor(private readonly database: SqlDatabase) {}

  get trouble(): string | undefined {
    return this.away ? 'It is away.' : undefined;
  }
  query: SqlDatabase['query'] = async (sql, values) => this.#there().query(sql, values);
  transaction: SqlDatabase['transaction'] = async (work) => this.#there().transaction(work);
  close = () => this.database.close();

  #there(): SqlDatabase {
    if (this.away) throw new DatabaseUnavailable('The database can not be asked: it is away.');
    return this.database;
  }
}

describe('keys over HTTP', () => {
  const dataFolder = mkdtempSync(join(tmpdir(), 'millrace-keys-http-'));
  let database: FailingDatabase;
  beforeAll(() => {
    const embedded = new EmbeddedDatabase({ dataFolder, timeoutMs: 5_000 }, logger);
    database = new FailingDatabase(new MigratedDatabase(embedded, readMigrations(), logger));
  });
  afterAll(async () => {
    await database.close();
    rmSync(dataFolder, { recursive: true, force: true });
  });
  beforeEach(async () => {
    database.away = false;
    await database.query('truncate keys; truncate installation');
  });

  /** A gateway with real keys; several share the database, and news if they are given the same. */
  async function start(
    settings: Partial<Settings> = {},
    { news = new MemoryKeyNews(), workers = [{}], openWithoutKeys = false }: Partial<Opened> = {},
  ): Promise<Bed> {
    const options = { keySecret: KEY_SECRET, adminKey: ADMIN_KEY, keyRefreshMs: 60_000, openWithoutKeys };
    const ring = new KeyRing(new SqlKeySource(database, KEY_SECRET), news, options, logger);
    const store = new KeyStore(database, KEY_SECRET, { keysMax: 100 });
    const bed = await TestBed.start(settings, workers, settings.metricsNeedAdminKey !== true, '127.0.0.1', {
      authenticator: ring,
      keys: { store, ring, news },
      close: () => ring.close(),
    });
    const admin = async (path: string, method = 'GET', body?: unknown, key = ADMIN_KEY) => {
      const init = { method, headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' } };
      return fetch(`${bed.url}/admin${path}`, body === undefined ? init : { ...init, body: JSON.stringify(body) });
    };
    const create = async (body: object = {}) =>
      (await (await admin('/keys', 'POST', { name: 'a name', ...body })).json()) as NewKeyBody;
    return Object.assign(bed, { admin, create });
  }
  type Opened = { news: MemoryKeyNews; workers: Parameters<typeof TestBed.start>[1]; openWithoutKeys: boolean };
  type Bed = TestBed & {
    admin(path: string, method?: string, body?: unknown, key?: string): Promise<Response>;
    create(body?: object): Promise<NewKeyBody>;
  };

  const asked = (bed: TestBed, key: string) => bed.chat({}, { headers: { authorization: `Bearer ${key}` } });
  const errorOf = async (response: Response) => {
    const { error } = (await response.json()) as { error: { code: string; message: string; param: string | null } };
    return { status: response.status, ...error };
  };

  it('lets a key do all that its owner may, from its making to its end', async () => {
    await using bed = await start();
    const created = await bed.admin('/keys', 'POST', { name: 'alice', priority: 3, limits: { tokens_per_day: 9 } });
    expect(created.status).toBe(200);
    expect(created.headers.get('cache-control')).toBe('no-store');
    const { key, ...made } = (await created.json()) as NewKeyBody;
    expect(made).toMatchObject({
      object: 'millrace.key',
      name: 'alice',
      state: 'valid',
      limits: { tokens_per_day: 9 },
    });
    expect((await asked(bed, key)).status).toBe(200);
    expect((await bed.chat({}, { headers: { 'x-api-key': key } })).status).toBe(200);

    const { data } = (await (await bed.admin('/keys')).json()) as { data: KeyBody[] };
    expect(data).toEqual([made]);
    expect(await (await bed.admin(`/keys/${made.id}`)).json()).toEqual(made);
    const changed = (await (await bed.admin(`/keys/${made.id}`, 'POST', { name: 'bob' })).json()) as KeyBody;
    expect(changed).toEqual({ ...made, name: 'bob' });

    const rotated = (await (await bed.admin(`/keys/${made.id}/rotate`, 'POST')).json()) as NewKeyBody;
    expect(rotated.id).toBe(made.id);
    expect([(await asked(bed, key)).status, (await asked(bed, rotated.key)).status]).toEqual([401, 200]);
    const graced = (await (
      await bed.admin(`/keys/${made.id}/rotate`, 'POST', { grace_seconds: 60 })
    ).json()) as NewKeyBody;
    expect([(await asked(bed, rotated.key)).status, (await asked(bed, graced.key)).status]).toEqual([200, 200]);

    expect(((await (await bed.admin(`/keys/${made.id}`, 'DELETE')).json()) as KeyBody).state).toBe('revoked');
    expect(await errorOf(await asked(bed, graced.key))).toMatchObject({ status: 401, code: 'invalid_api_key' });
    expect((await asked(bed, rotated.key)).status).toBe(401);
  });

  it('tells another gateway of a key by the database, and of its end by the news', async () => {
    const news = new MemoryKeyNews();
    await using one = await start({}, { news });
    await using two = await start({}, { news });
    await using deaf = await start();
    const { key, id } = await one.create();
    // It never heard of the key, and its next look is a minute away.
    expect((await asked(deaf, key)).status).toBe(200);
    expect((await asked(two, key)).status).toBe(200);
    await one.admin(`/keys/${id}`, 'DELETE');
    await expect.poll(async () => (await asked(two, key)).status, { interval: 5, timeout: 5_000 }).toBe(401);
  });

  it('lets a stream go on whose key was revoked meanwhile', async () => {
    await using bed = await start({}, { workers: [{ stepMs: 20 }] });
    const { key, id } = await bed.create();
    const stream = await bed.chat({ stream: true, max_tokens: 20 }, { headers: { authorization: `Bearer ${key}` } });
    await bed.admin(`/keys/${id}`, 'DELETE');
    expect((await asked(bed, key)).status).toBe(401);
    expect((await eventsOf(stream)).at(-1)).toBe('data: [DONE]');
  });

  it('shows a key the models that it may use, and no others', async () => {
    await using bed = await start({}, { workers: [{}, { models: [{ id: 'other' }] }] });
    const all = ((await (await fetchModels(bed, ADMIN_KEY)).json()) as { data: { id: string }[] }).data.map(
      ({ id }) => id,
    );
    expect(all).toContain('other');
    const own = all.find((id) => id !== 'other')!;
    const { key } = await bed.create({ models: ['oth*'] });
    const { data } = (await (await fetchModels(bed, key)).json()) as { data: { id: string }[] };
    expect(data.map(({ id }) => id)).toEqual(['other']);
    expect((await fetchModels(bed, key, '/other')).status).toBe(200);
    expect(await errorOf(await fetchModels(bed, key, `/${own}`))).toMatchObject({
      status: 403,
      code: 'model_not_allowed',
    });
    const refused = await bed.chat({ model: own }, { headers: { authorization: `Bearer ${key}` } });
    expect(await errorOf(refused)).toMatchObject({ status: 403, code: 'model_not_allowed', param: 'model' });
    // What can not do it at all is none of this key's business either, and whoever names none means one of its own.
    const embedding = await bed.post('/v1/embeddings', { model: own, input: 'a' }, { headers: { 'x-api-key': key } });
    expect(await errorOf(embedding)).toMatchObject({ status: 403, code: 'model_not_allowed' });
    const unnamed = await asked(bed, key);
    expect([unnamed.status, ((await unnamed.json()) as { model: string }).model]).toEqual([200, 'other']);
  });

  function fetchModels(bed: TestBed, key: string, path = ''): Promise<Response> {
    return fetch(`${bed.url}/v1/models${path}`, { headers: { authorization: `Bearer ${key}` } });
  }

  describe('the admin API', () => {
    let bed: Bed;
    beforeAll(async () => {
      bed = await start({ corsOrigins: ['*'] });
    });
    afterAll(() => bed[Symbol.asyncDispose]());

    it.each([
      '/admin',
      '/admin/',
      '/admin/keys',
      '/admin/keys/',
      '/admin/keys?after=x',
      '/admin/keys/3vQB7B6MrGQZaxCu',
      '/admin/keys/3vQB7B6MrGQZaxCu/rotate',
      '/admin/usage',
      '/admin/nothing/here',
      '/%61dmin/keys',
      '/admin%2Fkeys',
      '/adm%69n/keys?limit=1',
      'http://somewhere/admin/keys',
    ])('opens %s to nobody but its own key', async (path) => {
      const { key } = await bed.create();
      for (const method of ['GET', 'POST', 'DELETE', 'HEAD', 'OPTIONS', 'PUT']) {
        for (const presented of ['', 'authorization: Bearer x', `authorization: Bearer ${key}`, `x-api-key: ${key}`]) {
          const lines = [`${method} ${path} HTTP/1.1`, 'host: x', 'content-length: 0', 'connection: close', presented];
          const answer = await rawExchange(
            bed.gateway.port,
            `${lines.filter((line) => line !== '').join('\r\n')}\r\n\r\n`,
          );
          // What can be no such path at all may be unknown; it is never served.
          expect(answer, `${method} ${path} ${presented}`).toMatch(/^HTTP\/1\.1 (401|404) /);
          if (path.startsWith('/admin')) expect(answer).toMatch(/^HTTP\/1\.1 401 /);
          expect(answer).not.toContain(key);
        }
      }
    });

    it('answers its own key in both headers, and tells it what is not there', async () => {
      expect((await bed.admin('/keys')).status).toBe(200);
      expect((await fetch(`${bed.url}/admin/keys`, { headers: { 'x-api-key': ADMIN_KEY } })).status).toBe(200);
      expect(await errorOf(await bed.admin('/nothing'))).toMatchObject({ status: 404, code: 'unknown_url' });
      expect(await errorOf(await bed.admin('/keys', 'PUT', {}))).toMatchObject({ status: 405 });
      // In the URL it is nothing.
      expect((await fetch(`${bed.url}/admin/keys?key=${ADMIN_KEY}&api_key=${ADMIN_KEY}`)).status).toBe(401);
    });

    it('is none of what the admin key opens elsewhere, but for the list of models', async () => {
      await bed.create();
      expect((await asked(bed, ADMIN_KEY)).status).toBe(401);
      expect((await fetchModels(bed, ADMIN_KEY)).status).toBe(200);
    });

    it('is for no web page, whatever corsOrigins says', async () => {
      const headers = { origin: 'https://evil.example', authorization: `Bearer ${ADMIN_KEY}` };
      const answer = await fetch(`${bed.url}/admin/keys`, { headers });
      expect([answer.status, answer.headers.get('access-control-allow-origin')]).toEqual([200, null]);
      const preflight = await fetch(`${bed.url}/admin/keys`, {
        method: 'OPTIONS',
        headers: { origin: 'https://evil.example', 'access-control-request-method': 'POST' },
      });
      expect([preflight.status, preflight.headers.get('access-control-allow-origin')]).toEqual([401, null]);
      // It is on elsewhere, or this would prove nothing.
      expect((await fetch(`${bed.url}/healthz`, { headers })).headers.get('access-control-allow-origin')).toBe('*');
    });

    it.each([
      ['no body', undefined, null],
      ['a list', [], null],
      ['no name', {}, 'name'],
      ['an empty name', { name: '' }, 'name'],
      ['a name with NUL', { name: 'a\0b' }, 'name'],
      ['a name with an escape sequence', { name: '\u001b[2J' }, 'name'],
      ['a name without end', { name: 'x'.repeat(100_000) }, 'name'],
      ['half a surrogate pair', { name: '\ud800' }, 'name'],
      ['no models at all', { name: 'a', models: [] }, 'models'],
      ['a model that can be none', { name: 'a', models: ['fine', "'; drop table keys; --"] }, 'models.1'],
      ['a limit of none', { name: 'a', limits: { requests_per_minute: 0 } }, 'limits.requests_per_minute'],
      ['half a token', { name: 'a', limits: { tokens_per_day: 0.5 } }, 'limits.tokens_per_day'],
      ['a limit that is not known', { name: 'a', limits: { rpm: 1 } }, 'limits.rpm'],
      ['a field that is not known', { name: 'a', role: 'admin' }, 'role'],
      ['an id of its own', { name: 'a', id: 'mine' }, 'id'],
      ['a time that is over', { name: 'a', expires_at: 1 }, 'expires_at'],
      ['milliseconds', { name: 'a', expires_at: Date.now() }, 'expires_at'],
      ['a priority beyond all', { name: 'a', priority: 101 }, 'priority'],
      ['a prototype', JSON.parse('{"name":"a","__proto__":{"state":"valid"}}'), '__proto__'],
    ])('refuses a key with %s, by name', async (_, body, param) => {
      const refused = await errorOf(await bed.admin('/keys', 'POST', body));
      const path = refused.param?.replace(/\[(\d+)\]/, '.$1') ?? null;
      // A date in milliseconds is a year that there may be; it is refused only beyond the year 9999.
      expect([refused.status, path]).toEqual([400, param]);
    });

    it.each(["' or 1=1 --", '%00', '..%2f..%2fusage', 'x'.repeat(900), '3vQB7B6MrGQZaxC%0A', 'null'])(
      'finds no key under %j',
      async (id) => {
        for (const [method, path, body] of [
          ['GET', `/keys/${id}`, undefined],
          ['DELETE', `/keys/${id}`, undefined],
          ['POST', `/keys/${id}`, { priority: 1 }],
          ['POST', `/keys/${id}/rotate`, {}],
          ['GET', `/keys?after=${encodeURIComponent(id)}`, undefined],
        ] as const) {
          const { status } = await bed.admin(path, method, body);
          expect([400, 404], `${method} ${path}`).toContain(status);
        }
      },
    );

    it('takes SQL in every field for what it is', async () => {
      const sql = "'); delete from keys; --";
      const { id } = await bed.create({ name: sql });
      const { data } = (await (await bed.admin(`/keys?name=${encodeURIComponent(sql)}`)).json()) as { data: KeyBody[] };
      expect(data.map((one) => one.id)).toEqual([id]);
      for (const query of [
        `limit=${sql}`,
        `after=${sql}`,
        'limit=0',
        'limit=1001',
        'limit=1&limit=2',
        'order=asc',
        'name=',
      ]) {
        expect([400, 404], query).toContain((await bed.admin(`/keys?${query}`)).status);
      }
      expect((await bed.admin(`/keys/${id}`)).status).toBe(200);
    });

    it('has a line in the log for everything that was asked, and no key in any', async () => {
      const { key, id } = await bed.create({ name: 'logged' });
      await bed.admin(`/keys/${id}`, 'DELETE');
      await bed.admin('/keys/absent');
      await bed.admin('/keys', 'GET', undefined, 'wrong-admin-key-of-a-stranger');
      await expect
        .poll(() =>
          bed
            .records()
            .slice(-4)
            .map(({ endpoint, status }) => `${endpoint} ${status}`),
        )
        .toEqual(['admin 200', 'admin 200', 'admin 404', 'admin 401']);
      // And who looks for what became of a key finds it, together with the request.
      const done = bed.log.filter(({ keyId, msg }) => keyId === id && msg !== 'request');
      expect(done.map(({ msg, requestId }) => [msg, typeof requestId])).toEqual([
        ['an API key was made', 'string'],
        ['an API key was revoked', 'string'],
      ]);
      const log = JSON.stringify(bed.log);
      for (const secret of [key, key.split('-')[3]!, ADMIN_KEY, 'wrong-admin-key']) expect(log).not.toContain(secret);
    });

    it('is a 503 while the database is away, and says that it may have happened', async () => {
      const { id } = await bed.create();
      database.away = true;
      for (const [path, method, body] of [
        ['/keys', 'GET', undefined],
        [`/keys/${id}`, 'GET', undefined],
        ['/keys', 'POST', { name: 'a' }],
        [`/keys/${id}`, 'POST', { name: 'b' }],
        [`/keys/${id}`, 'DELETE', undefined],
        [`/keys/${id}/rotate`, 'POST', {}],
      ] as const) {
        const response = await bed.admin(path, method, body);
        expect(response.headers.get('retry-after')).not.toBeNull();
        expect(await errorOf(response)).toMatchObject({ status: 503, code: 'store_unavailable' });
      }
    });
  });

  describe('while the database is away', () => {
    it('answers whoever has a key that is known, and no other with a 401', async () => {
      await using bed = await start();
      const { key } = await bed.create();
      database.away = true;
      expect((await asked(bed, key)).status).toBe(200);
      expect(await errorOf(await asked(bed, makeApiKey().text))).toMatchObject({
        status: 503,
        code: 'store_unavailable',
      });
      expect(await errorOf(await asked(bed, 'nonsense'))).toMatchObject({ status: 401, code: 'invalid_api_key' });
    });
  });

  describe('who needs a key', () => {
    it('is nobody before there is one, and everybody afterwards, even when the last is revoked', async () => {
      await using bed = await start({}, { openWithoutKeys: true });
      expect((await bed.chat()).status).toBe(200);
      expect((await asked(bed, 'sk-whatever')).status).toBe(200);
      const { id } = await bed.create();
      expect((await bed.chat()).status).toBe(401);
      await bed.admin(`/keys/${id}`, 'DELETE');
      expect(await errorOf(await bed.chat())).toMatchObject({ status: 401 });
      expect((await fetch(`${bed.url}/v1/models`)).headers.get('www-authenticate')).toBe('Bearer');
    });

    it('is whoever comes by a name that is not this machine’s: a web page can have one that leads here', async () => {
      const status = async (bed: TestBed, host: string, ...headers: string[]) => {
        const lines = ['GET /v1/models HTTP/1.1', `host: ${host}`, 'connection: close', ...headers];
        const answer = await rawExchange(bed.gateway.port, `${lines.join('\r\n')}\r\n\r\n`);
        return Number(/^HTTP\/1\.1 (\d+)/.exec(answer)![1]);
      };
      await using bed = await start({}, { openWithoutKeys: true });
      await using open = await start({ allowUnauthenticated: true }, { openWithoutKeys: true });
      for (const host of ['localhost:8000', '127.0.0.1', '[::1]:8000', 'host.docker.internal:8000']) {
        expect(await status(bed, host), host).toBe(200);
      }
      for (const host of ['evil.example:8000', '127.0.0.1.nip.io']) {
        expect(await status(bed, host), host).toBe(401);
        expect(await status(bed, host, 'authorization: Bearer any'), host).toBe(401);
        expect(await status(bed, host, `authorization: Bearer ${ADMIN_KEY}`), host).toBe(200);
        expect(await status(open, host), host).toBe(200);
      }
      // With a key, whatever leads here is no matter.
      const { key } = await bed.create();
      expect(await status(bed, 'evil.example', `authorization: Bearer ${key}`)).toBe(200);
    });

    it('is everybody at once where strangers come by, and says so', async () => {
      await using bed = await start();
      const refused = await errorOf(await bed.chat());
      expect([refused.status, refused.message]).toEqual([401, expect.stringContaining('millrace keys create')]);
    });

    it('is never who probes or reads about the server', async () => {
      await using bed = await start();
      await bed.create();
      for (const path of [
        '/',
        '/healthz',
        '/readyz',
        '/health',
        '/metrics',
        '/docs',
        '/openapi.json',
        '/docs/swagger-ui.css',
      ]) {
        expect((await fetch(`${bed.url}${path}`)).status, path).toBe(200);
      }
    });

    it('is who wants metrics, where metricsNeedAdminKey says so', async () => {
      await using bed = await start({ metricsNeedAdminKey: true });
      const { key } = await bed.create();
      for (const path of ['/metrics', '/health', '/%6detrics']) {
        expect((await fetch(`${bed.url}${path}`)).status, path).toBe(401);
        expect((await fetch(`${bed.url}${path}`, { headers: { 'x-api-key': key } })).status, path).toBe(401);
        expect((await fetch(`${bed.url}${path}`, { headers: { 'x-api-key': ADMIN_KEY } })).status, path).toBe(200);
      }
      expect((await fetch(`${bed.url}/healthz`)).status).toBe(200);
      // Who routes here has no key, and needs none; what is behind the answer is told as /health tells it.
      const readyz = async (headers: Record<string, string> = {}) => {
        const response = await fetch(`${bed.url}/readyz`, { headers });
        return { status: response.status, body: readyzSchema.parse(await response.json()) };
      };
      await expect.poll(() => readyz()).toEqual({ status: 200, body: { status: 'ready', capabilities: {} } });
      expect((await readyz({ 'x-api-key': ADMIN_KEY })).body).toMatchObject({ models: [{ state: 'loaded' }] });
      bed.worker.die();
      await expect
        .poll(() => readyz(), { timeout: 5_000 })
        .toMatchObject({ status: 503, body: { status: 'not ready' } });
      expect(JSON.stringify(await readyz())).not.toContain(bed.worker.address);
      expect(JSON.stringify(await readyz({ 'x-api-key': ADMIN_KEY }))).toContain(bed.worker.address);
    });

    it('does not show it in the URL', async () => {
      await using bed = await start();
      const { key } = await bed.create();
      for (const name of [
        'key',
        'api_key',
        'api-key',
        'apiKey',
        'x-api-key',
        'token',
        'access_token',
        'authorization',
      ]) {
        expect((await fetch(`${bed.url}/v1/models?${name}=${key}`)).status, name).toBe(401);
      }
    });

    it('is known by what they send, and in no other way', async () => {
      await using bed = await start();
      const { key } = await bed.create();
      const status = async (...headers: string[]) => {
        const lines = ['GET /v1/models HTTP/1.1', 'host: x', 'connection: close', ...headers];
        return Number(
          /^HTTP\/1\.1 (\d+)/.exec(await rawExchange(bed.gateway.port, `${lines.join('\r\n')}\r\n\r\n`))![1],
        );
      };
      expect(await status(`authorization: Bearer ${key}`)).toBe(200);
      expect(await status(`AUTHORIZATION: bearer    ${key}  `)).toBe(200);
      expect(await status(`x-api-key: ${key}`, 'authorization: Basic eDp5')).toBe(200);
      for (const headers of [
        [`authorization: ${key}`],
        [`authorization: Basic ${key}`],
        [`authorization: Bearer${key}`],
        [`authorization: Bearer ${key} x`],
        [`authorization: Bearer "${key}"`],
        [`authorization: Bearer wrong`, `x-api-key: ${key}`],
        [`x-api-key: ${key}`, `x-api-key: ${key}`],
        [`x-api-key: Bearer ${key}`],
        [`cookie: authorization=${key}`],
        ['x-forwarded-for: 127.0.0.1', 'forwarded: for=127.0.0.1', 'x-real-ip: 127.0.0.1'],
      ]) {
        expect(await status(...headers), headers.join(' | ')).toBe(401);
      }
      expect(await status('host: 127.0.0.1')).toBeGreaterThanOrEqual(400);
    });
  });
});
