import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { describeWithHelm, renderAgainst } from './chart.testing.js';

const KEPT = 'kept-from-the-first-install';
const SECRET = '/api/v1/namespaces/llm/secrets/millrace-keys';

/** Of an API server, what helm asks for a look at a Secret. */
async function startCluster(secrets: Readonly<Record<string, Record<string, string>>>): Promise<Server> {
  const server = createServer((request, response) => {
    const path = request.url!.split('?')[0]!;
    const answer = (status: number, body: object) => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(body));
    };
    const resources = [{ name: 'secrets', singularName: '', namespaced: true, kind: 'Secret', verbs: ['get'] }];
    if (path === '/api/v1') answer(200, { kind: 'APIResourceList', groupVersion: 'v1', resources });
    else if (path in secrets) answer(200, { apiVersion: 'v1', kind: 'Secret', metadata: {}, data: secrets[path] });
    else answer(404, { kind: 'Status', status: 'Failure', reason: 'NotFound', code: 404 });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

describeWithHelm('an upgrade', () => {
  let cluster: Server | undefined;
  afterEach(() => cluster?.close());
  const dataOf = async (secrets: Parameters<typeof startCluster>[0]) => {
    cluster = await startCluster(secrets);
    const url = `http://127.0.0.1:${(cluster.address() as AddressInfo).port}`;
    return (await renderAgainst(url)).one('Secret', '-keys').data as Record<string, string>;
  };

  it('keeps the secrets that the first install made', async () => {
    const data = { 'admin-key': btoa(`${KEPT}-one`), 'key-secret': btoa(`${KEPT}-two`) };
    expect(await dataOf({ [SECRET]: data })).toEqual(data);
  });

  it('makes only what is missing', async () => {
    const found = { 'key-secret': btoa(KEPT) };
    const data = await dataOf({ [SECRET]: found });
    expect(data).toMatchObject(found);
    expect(atob(data['admin-key']!)).toMatch(/^[A-Za-z0-9]{32}$/);
  });

  it('that is the first install makes all of them', async () => {
    expect(Object.keys(await dataOf({})).sort()).toEqual(['admin-key', 'key-secret']);
  });
});
