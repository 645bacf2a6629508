import { once } from 'node:events';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { Server } from '@grpc/grpc-js';
import { createLogger, WatchedTls } from '@millrace/runtime';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CertificateFolder, TestAuthority } from '../../../../libs/runtime/src/certificates.testing.js';
import { gatewayCredentials } from './gateway-credentials.js';

const NO_LOG = createLogger({ name: 'worker', level: 'silent', format: 'json' });

describe('whom a worker with certificates lets in', () => {
  const folder = new CertificateFolder();
  const server = new Server();
  let tls: WatchedTls;
  let port: number;

  beforeAll(async () => {
    const authority = await TestAuthority.make();
    const files = {
      ...folder.writePair('worker', await authority.sign('worker')),
      caFile: folder.write('ca.pem', authority.cert),
    };
    tls = await WatchedTls.open({ group: 'workerTls', ...files }, NO_LOG);
    const credentials = gatewayCredentials(tls, 300);
    port = await new Promise((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', credentials, (error, bound) => (error ? reject(error) : resolve(bound)));
    });
  });
  afterAll(() => {
    server.forceShutdown();
    tls.close();
    folder[Symbol.dispose]();
  });

  it.each([
    ['nothing', ''],
    ['the beginning of a handshake', '160301020001'],
  ])('nobody who says %s, for longer than a handshake may take', async (_what, hex) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    await once(socket, 'connect');
    socket.write(Buffer.from(hex, 'hex'));
    socket.resume();
    await once(socket, 'close', { signal: AbortSignal.timeout(5_000) });
  });

  it('nobody without a certificate', async () => {
    const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['h2'] });
    const [error] = (await once(socket, 'error')) as [Error];
    expect(error.message).toContain('certificate required');
  });
});
