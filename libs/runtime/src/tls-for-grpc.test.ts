import { describe, expect, it } from 'vitest';
import { workerIdentity, workerTlsFailure } from './tls-for-grpc.js';

describe('whom a channel to a worker expects', () => {
  const cert = (...names: string[]) => ({ subjectaltname: names.join(', '), subject: { CN: 'x' } }) as never;

  it.each([
    ['worker-1:8100', undefined, 'DNS:worker-1', 'worker-1'],
    ['dns:///worker-1.pool.svc:8100', undefined, 'DNS:worker-1.pool.svc', 'worker-1.pool.svc'],
    ['10.0.0.7:8100', undefined, 'IP Address:10.0.0.7', 'millrace-worker'],
    ['[fd00::7]:8100', undefined, 'IP Address:FD00:0:0:0:0:0:0:7', 'millrace-worker'],
    ['10.0.0.7:8100', 'workers.internal', 'DNS:workers.internal', 'workers.internal'],
  ])('at %s, named %s: %s', (address, serverName, name, asked) => {
    const { verify, channel } = workerIdentity(address, serverName);
    expect(channel['grpc.ssl_target_name_override']).toBe(asked);
    // What grpc-js hands over is the name that it asked for, which is not always who was meant.
    expect(verify.checkServerIdentity(asked, cert(name))).toBeUndefined();
    expect(verify.checkServerIdentity(asked, cert('DNS:elsewhere', 'IP Address:10.0.0.8'))?.message).toMatch(
      /^its certificate is for elsewhere, 10\.0\.0\.8, and not for /,
    );
  });

  it('is nobody with a certificate for no name at all', () => {
    const { verify } = workerIdentity('10.0.0.7:8100', undefined);
    expect(verify.checkServerIdentity('millrace-worker', cert('DNS:millrace-worker'))?.message).toContain(
      'and not for 10.0.0.7',
    );
  });
});

describe('why a worker can not be reached', () => {
  const valid = { secondsLeft: 60 };
  const refused = 'No connection established. Last error: connect ECONNREFUSED 127.0.0.1:8100. Resolution note: ';
  const closed =
    'No connection established. Last error: Failed to connect (2026-11-21T21:21:26.953Z). Resolution note: ';

  it('is not TLS when nothing listens there', () => {
    expect(workerTlsFailure(refused, valid)).toBeUndefined();
    expect(workerTlsFailure(refused, undefined)).toBeUndefined();
  });

  it('is not TLS when a connection that was in use breaks off, as when the worker is killed', () => {
    expect(workerTlsFailure('read ECONNRESET', valid)).toBeUndefined();
    expect(workerTlsFailure('read ECONNRESET', undefined)).toBeUndefined();
  });

  it('may be an intermediate authority that is left out, which looks like a strange one', () => {
    const why = workerTlsFailure('Last error: unable to verify the first certificate', valid);
    expect(why).toContain(
      'another authority than workerTls.caFile holds, or its file lacks the authorities in between',
    );
  });

  it('is guessed from a connection that is closed without a word, by what this side has', () => {
    expect(workerTlsFailure(closed, undefined)).toContain('if it speaks TLS');
    expect(workerTlsFailure(closed, valid)).toContain('most likely its own workerTls.caFile');
    expect(workerTlsFailure(closed, { secondsLeft: -1 })).toContain('which has expired');
  });
});
