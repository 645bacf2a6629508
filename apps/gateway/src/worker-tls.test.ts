import { once } from 'node:events';
import { connect } from 'node:tls';
import { experimental } from '@grpc/grpc-js';
import { createLogger, GrpcCertificates, WatchedTls } from '@millrace/runtime';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  CertificateFolder,
  type Pair,
  type PairOptions,
  TestAuthority,
} from '../../../libs/runtime/src/certificates.testing.js';
import { FakeWorker, type FakeWorkerOptions } from './dispatch/fake-worker.testing.js';
import { TestBed } from './gateway.testing.js';

const HOUR_MS = 3_600_000;
const NO_LOG = createLogger({ name: 'worker', level: 'silent', format: 'json' });

describe('a gateway and a worker that know each other by certificates', () => {
  let [authority, stranger]: TestAuthority[] = [];
  let folder: CertificateFolder;
  const watched: WatchedTls[] = [];

  beforeAll(async () => {
    [authority, stranger] = [await TestAuthority.make('ours'), await TestAuthority.make('theirs')];
  });
  beforeEach(() => {
    folder = new CertificateFolder();
  });
  afterEach(() => {
    for (const tls of watched.splice(0)) tls.close();
    folder[Symbol.dispose]();
  });

  const files = (name: string, pair: Pair, trusted: TestAuthority) => ({
    ...folder.writePair(name, pair),
    caFile: folder.write(`${name}-ca.pem`, trusted.cert),
  });
  /** As the real worker listens: `apps/worker/src/serving/worker-server.ts`. */
  const workerWith = async (pair: Pair, trusted: TestAuthority, options: FakeWorkerOptions = {}, name = 'worker') => {
    const tls = await WatchedTls.open({ group: 'workerTls', ...files(name, pair, trusted) }, NO_LOG, {
      checkMs: 20,
    });
    watched.push(tls);
    const certificates = new GrpcCertificates(tls);
    const credentials = experimental.createCertificateProviderServerCredentials(certificates, certificates, true);
    return FakeWorker.start({ ...options, credentials });
  };
  const gatewayWith = (pair: Pair, trusted: TestAuthority, worker: FakeWorker, settings: object = {}) => {
    const { certFile, keyFile, caFile } = files('gateway', pair, trusted);
    const tls = { 'workerTls.certFile': certFile, 'workerTls.keyFile': keyFile, 'workerTls.caFile': caFile };
    return TestBed.start({ ...tls, ...settings }, [worker], false);
  };
  const sign = (name: string, options?: PairOptions) => authority!.sign(name, options);
  const reasonOf = async (bed: TestBed): Promise<string> => {
    const { reason = '' } = (await (await fetch(`${bed.url}/readyz`)).json()) as { reason?: string };
    return reason;
  };
  /** What /readyz says once it says more than that it is still connecting. */
  const refusal = async (bed: TestBed, why: string | RegExp) => {
    await expect.poll(() => reasonOf(bed), { timeout: 8_000 }).toMatch(why);
    const [worker] = bed.workers;
    expect(await reasonOf(bed)).toContain(`${worker!.address} is connecting (`);
    expect((await fetch(`${bed.url}/healthz`)).status).toBe(200);
  };

  it('speak to each other', async () => {
    await using bed = await gatewayWith(
      await sign('gateway'),
      authority!,
      await workerWith(await sign('worker'), authority!),
    );
    await bed.ready();
    const answer = await bed.chat();
    expect(await answer.json()).toMatchObject({ choices: [{ message: { content: 'one two three' } }] });
  });

  it('renew their certificates, and their authority, in the midst of a stream that goes on unbroken', async () => {
    const worker = await workerWith(await sign('worker'), authority!, {
      script: () => ({ endless: 'more ' }),
      stepMs: 5,
    });
    await using bed = await gatewayWith(await sign('gateway'), authority!, worker);
    await bed.ready();
    const leave = new AbortController();
    const answer = await bed.chat({ stream: true }, { signal: leave.signal });
    const reader = answer.body!.getReader();
    await reader.read();
    files('worker', await stranger!.sign('worker'), stranger!);
    files('gateway', await stranger!.sign('gateway'), stranger!);
    await new Promise((wake) => setTimeout(wake, 2_500));
    for (let at = 0; at < 5; at++) {
      const { value, done } = await reader.read();
      expect(done).toBe(false);
      expect(Buffer.from(value!).toString()).not.toContain('"error"');
    }
    expect(worker.conversations).toBe(1);
    leave.abort();
    // What connects anew does so by what is in force now.
    worker.hangUp();
    await expect.poll(() => worker.conversations, { timeout: 8_000 }).toBe(2);
    await bed.ready();
  });

  it('refuse a gateway whose certificate is of another authority', async () => {
    const worker = await workerWith(await sign('worker'), authority!);
    await using bed = await gatewayWith(await stranger!.sign('gateway'), authority!, worker);
    await refusal(bed, 'most likely its own workerTls.caFile holds another authority');
    expect(worker.conversations).toBe(0);
  });

  it('refuse a gateway whose certificate has expired', async () => {
    const worker = await workerWith(await sign('worker'), authority!);
    await using bed = await gatewayWith(await sign('gateway', { toMs: -HOUR_MS }), authority!, worker);
    await refusal(bed, 'it refuses the certificate of workerTls.certFile, which has expired');
    expect(worker.conversations).toBe(0);
  });

  it('refuse a worker whose certificate is of another authority', async () => {
    const worker = await workerWith(await stranger!.sign('worker'), authority!);
    await using bed = await gatewayWith(await sign('gateway'), authority!, worker);
    await refusal(bed, 'its certificate is of another authority than workerTls.caFile holds');
    expect(worker.conversations).toBe(0);
  });

  it('serve by those that they know, while another one is refused, and say which', async () => {
    const refused = await workerWith(await stranger!.sign('worker'), authority!);
    const known = await workerWith(await sign('worker'), authority!, {}, 'known');
    const { certFile, keyFile, caFile } = files('gateway', await sign('gateway'), authority!);
    const tls = { 'workerTls.certFile': certFile, 'workerTls.keyFile': keyFile, 'workerTls.caFile': caFile };
    await using bed = await TestBed.start(tls, [refused, known], false);
    await bed.ready();
    const why = 'its certificate is of another authority than workerTls.caFile holds';
    await expect
      .poll(async () => (await fetch(`${bed.url}/readyz`)).json(), { timeout: 8_000 })
      .toMatchObject({
        status: 'ready',
        degraded: [{ part: 'tls', detail: expect.stringContaining(`${refused.address} can't be asked: ${why}`) }],
      });
    expect((await bed.chat()).status).toBe(200);
  });

  it('refuse a worker whose certificate has expired', async () => {
    const worker = await workerWith(await sign('worker', { toMs: -HOUR_MS }), authority!);
    await using bed = await gatewayWith(await sign('gateway'), authority!, worker);
    await refusal(bed, 'its certificate has expired');
  });

  it('refuse a worker whose certificate is for another host, unless its name is said', async () => {
    const worker = await workerWith(await sign('worker', { names: ['worker.example'] }), authority!);
    {
      await using bed = await gatewayWith(await sign('gateway'), authority!, worker);
      await refusal(bed, /its certificate is for worker\.example, and not for 127\.0\.0\.1; .*workerTls\.serverName/);
    }
    const named = await workerWith(await sign('worker', { names: ['worker.example'] }), authority!);
    await using bed = await gatewayWith(await sign('gateway'), authority!, named, {
      'workerTls.serverName': 'worker.example',
    });
    await bed.ready();
  });

  it('refuse a gateway without TLS, which is told what may be missing', async () => {
    const worker = await workerWith(await sign('worker'), authority!);
    await using bed = await TestBed.start({}, [worker], false);
    await refusal(bed, 'if it speaks TLS, give this side the files of workerTls');
    expect(worker.conversations).toBe(0);
  });

  it('refuse a gateway that shows no certificate', async () => {
    const worker = await workerWith(await sign('worker'), authority!);
    const socket = connect({ host: '127.0.0.1', port: worker.port, ca: authority!.cert, ALPNProtocols: ['h2'] });
    const [error] = await once(socket, 'error');
    expect(error.message).toContain('alert certificate required');
    expect(worker.conversations).toBe(0);
    worker.die();
  });

  it('refuse a worker without TLS, and say so', async () => {
    const worker = await FakeWorker.start();
    await using bed = await gatewayWith(await sign('gateway'), authority!, worker);
    await refusal(bed, 'it speaks no TLS, and this side does; give both the files of workerTls, or neither');
    expect(worker.conversations).toBe(0);
  });

  it('check a worker by number against the numbers in its certificate', async () => {
    const worker = await workerWith(await sign('worker', { names: ['127.0.0.1'] }), authority!);
    await using bed = await gatewayWith(await sign('gateway'), authority!, worker);
    await bed.ready();
  });
});
