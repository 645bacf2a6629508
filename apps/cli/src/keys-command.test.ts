import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { changeKeySchema, createKeySchema, type KeyBody, rotateKeySchema } from '@millrace/contracts';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { keysCommand } from './keys-command.js';

const ADMIN_KEY = 'mr-admin-of-the-test';

/** An admin API that keeps keys in a list and checks bodies as the gateway does. */
class FakeAdmin {
  readonly keys: KeyBody[] = [];
  readonly queries: string[] = [];
  server!: Server;
  url = '';

  async start(): Promise<void> {
    this.server = createServer(async (request, response) => {
      const [status, body] = await this.#answer(request).catch(
        (error: unknown) => [400, refusal(String(error))] as const,
      );
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    });
    await new Promise<void>((listening) => this.server.listen(0, '127.0.0.1', listening));
    this.url = `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async #answer(request: IncomingMessage): Promise<readonly [number, unknown]> {
    if (request.headers.authorization !== `Bearer ${ADMIN_KEY}`)
      return [401, refusal('What came is not the admin key.')];
    const { pathname, searchParams } = new URL(request.url!, this.url);
    const [, , , id, verb] = pathname.split('/').map(decodeURIComponent);
    let text = '';
    for await (const piece of request) text += piece;
    const body = text === '' ? undefined : JSON.parse(text);
    if (id === undefined) return request.method === 'POST' ? this.#create(body) : this.#list(searchParams);
    const key = this.keys.find((one) => one.id === id);
    if (key === undefined) return [404, refusal(`There is no key ${id}.`)];
    if (verb === 'rotate') return [200, { ...key, key: `sk-mr-${id}-${rotateKeySchema.parse(body).grace_seconds}` }];
    if (request.method === 'DELETE') Object.assign(key, { state: 'revoked', revoked_at: 1 });
    else if (request.method === 'POST') Object.assign(key, changeKeySchema.parse(body));
    return [200, key];
  }

  #create(body: unknown): readonly [number, unknown] {
    const { models = null, expires_at = null, log_messages = null, ...asked } = createKeySchema.parse(body);
    const id = `id${this.keys.length}`;
    const key: KeyBody = {
      ...asked,
      object: 'millrace.key',
      id,
      models,
      expires_at,
      log_messages,
      created_at: 0,
      revoked_at: null,
      state: 'valid',
    };
    this.keys.unshift(key);
    return [200, { ...key, key: `sk-mr-${id}-secret` }];
  }

  #list(query: URLSearchParams): readonly [number, unknown] {
    this.queries.push(query.toString());
    const after = query.get('after');
    const from = after === null ? 0 : this.keys.findIndex(({ id }) => id === after) + 1;
    const data = this.keys.slice(from, from + Number(query.get('limit')));
    const has_more = this.keys.length > from + data.length;
    return [200, { object: 'list', data, has_more, last_id: data.at(-1)?.id ?? null }];
  }
}

function refusal(message: string) {
  return { error: { message, type: 'invalid_request_error', param: null, code: null } };
}

describe('millrace keys', () => {
  let admin: FakeAdmin;
  let folder: string;
  let said: string;
  beforeEach(async () => {
    admin = new FakeAdmin();
    await admin.start();
    folder = mkdtempSync(join(tmpdir(), 'millrace-keys-cli-'));
    said = '';
    vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
      said += String(text);
      return true;
    });
  });
  afterEach(() => {
    vi.restoreAllMocks();
    admin.server.close();
    rmSync(folder, { recursive: true, force: true });
  });

  async function keys(...args: string[]): Promise<string> {
    return keysIn({ MILLRACE_ADMIN_KEY: ADMIN_KEY }, ...args);
  }

  async function keysIn(environment: Record<string, string>, ...args: string[]): Promise<string> {
    let out = '';
    const write = (text: string) => {
      out += text;
    };
    await keysCommand.run({
      args: [...args, '--url', admin.url],
      environment,
      workingFolder: folder,
      write,
      isTerminal: false,
    });
    return out;
  }

  it('prints a new key alone, and beside it how to use it', async () => {
    expect(await keys('create', 'alice')).toBe('sk-mr-id0-secret\n');
    expect(said).toContain('alice (id0)');
    expect(said).toContain('MILLRACE_API_KEY');
    expect(said).not.toContain('sk-mr-id0-secret');
    said = '';
    expect(await keys('create', 'bob', '--quiet')).toBe('sk-mr-id1-secret\n');
    expect(said).toBe('');
    expect(JSON.parse(await keys('create', 'carol', '--json'))).toMatchObject({
      name: 'carol',
      key: 'sk-mr-id2-secret',
    });
  });

  it('hands every flag on, and nothing that was not said', async () => {
    await keys('create', 'plain');
    expect(admin.keys[0]).toMatchObject({
      models: null,
      limits: {},
      priority: 0,
      expires_at: null,
      log_messages: null,
    });
    const limits = [
      '--rpm',
      '60',
      '--tpm',
      '1000',
      '--concurrent',
      '3',
      '--tokens-per-day',
      '5',
      '--tokens-per-month',
      '7',
    ];
    const rest = ['--models', 'a, b/*', '--priority=-5', '--expires', '2100-01-01', '--log-messages'];
    await keys('create', 'full', ...limits, ...rest);
    expect(admin.keys[0]).toMatchObject({
      models: ['a', 'b/*'],
      limits: {
        requests_per_minute: 60,
        tokens_per_minute: 1_000,
        concurrent_requests: 3,
        tokens_per_day: 5,
        tokens_per_month: 7,
      },
      priority: -5,
      expires_at: Date.UTC(2100, 0, 1) / 1_000,
      log_messages: true,
    });
    await keys(
      'change',
      'id1',
      '--rpm',
      'none',
      '--models',
      'all',
      '--expires',
      'never',
      '--no-log-messages',
      '--name',
      'less',
    );
    expect(admin.keys[0]).toMatchObject({
      name: 'less',
      models: null,
      limits: { requests_per_minute: null },
      expires_at: null,
      log_messages: false,
      priority: -5,
    });
  });

  it('takes a name for a name, whatever it looks like', async () => {
    for (const name of ["'; drop table keys; --", 'a/../b?c#d', '日本']) {
      await keys('create', name);
      expect(admin.keys[0]?.name).toBe(name);
    }
    await expect(keys('show', '../usage?x=')).rejects.toThrow('There is no key ../usage?x=.');
  });

  it('lists all of them, page by page, up to its limit', async () => {
    expect(await keys('list')).toBe('none\n');
    for (let at = 0; at < 5; at++) await keys('create', `number ${at}`);
    const rows = (await keys('list')).trimEnd().split('\n');
    expect(rows.map((row) => row.split(/ {2,}/)[0])).toEqual(['ID', 'id4', 'id3', 'id2', 'id1', 'id0']);
    said = '';
    expect(JSON.parse(await keys('list', '--limit', '2', '--json'))).toHaveLength(2);
    await keys('list', '--limit', '2', '--name', 'x y&z');
    expect(admin.queries.at(-1)).toBe('limit=2&name=x+y%26z');
    expect(said).toContain('more than these 2');
  });

  it('revokes, rotates and shows', async () => {
    await keys('create', 'alice', '--rpm', '60');
    expect(await keys('show', 'id0')).toMatch(/^alice \(id0\)\n.*60 requests\/min/s);
    said = '';
    expect(await keys('rotate', 'id0', '--grace', '2h')).toBe('sk-mr-id0-7200\n');
    expect(said).toContain('stays valid for 2h');
    expect(await keys('rotate', 'id0', '--quiet')).toBe('sk-mr-id0-0\n');
    said = '';
    expect(await keys('revoke', 'id0')).toBe('');
    expect(said).toContain('alice (id0) is revoked');
    expect(await keys('list')).toMatch(/id0 .*revoked/);
  });

  it.each([
    [[], /Say what to do with keys: create, list/],
    [['creat', 'x'], /does not know "creat". Did you mean create\?/],
    [['create'], /needs the NAME/],
    [['revoke'], /needs the ID/],
    [['list', 'extra'], /"extra" is too much/],
    [['create', 'a', 'b'], /"b" is neither a flag nor/],
    [['create', 'a', '--rpm', '0'], /--rpm is "0".*at least 1, or none/],
    [['create', 'a', '--tpm', '1e9'], /--tpm is "1e9"/],
    [['create', 'a', '--expires', 'soon'], /--expires is "soon".*30d/],
    [['rotate', 'id0', '--grace', 'long'], /--grace is "long"/],
    [['show', 'absent'], /There is no key absent/],
  ])('says what is wrong with %j', async (args, sentence) => {
    await expect(keys(...args)).rejects.toThrow(sentence);
  });

  it('finds the admin key in the folder of the gateway', async () => {
    await expect(keysIn({}, 'list')).rejects.toThrow(/MILLRACE_ADMIN_KEY is not set, and .*admin-key is not there/);
    writeFileSync(join(folder, 'admin-key'), `${ADMIN_KEY}\n`);
    expect(await keysIn({ MILLRACE_DATA_FOLDER: folder }, 'list')).toBe('none\n');
    // What was given is meant.
    await expect(keysIn({ MILLRACE_DATA_FOLDER: folder, MILLRACE_ADMIN_KEY: 'another' }, 'list')).rejects.toThrow(
      'not the admin key',
    );
  });

  it('never shows a key that no header takes', async () => {
    const attempt = keysIn({ MILLRACE_ADMIN_KEY: 'secret with spaces' }, 'list');
    await expect(attempt).rejects.toThrow(/^The key holds spaces/);
    await expect(attempt).rejects.not.toThrow('secret');
  });
});
