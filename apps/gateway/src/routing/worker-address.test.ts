import { describe, expect, it } from 'vitest';
import { isWorkerAddress } from './worker-address.js';

describe('the address of a worker', () => {
  it.each([
    '10.0.0.7:8100',
    'localhost:1',
    'worker-1.pool.svc.cluster.local:65535',
    'worker.svc.:8100',
    'my_worker:8100',
    '[::1]:8100',
    '[fd00::7]:8100',
  ])('is %s', (text) => expect(isWorkerAddress(text)).toBe(true));
  it.each([
    ...[
      '',
      ':8100',
      'worker',
      'worker:',
      'worker:0',
      'worker:65536',
      'worker:8100/x',
      'worker:8100 ',
      '::1:8100',
      '[::1]',
      '[::1:8100',
      '[x]:1',
    ],
    ...[
      'unix:/etc/passwd',
      'unix:///etc/passwd',
      'dns:///worker:8100',
      'dns://8.8.8.8/worker:8100',
      'xds:///worker',
      'ipv4:10.0.0.7:8100',
    ],
    ...[
      'http://worker:8100',
      'user@worker:8100',
      'a\nb:8100',
      'a,b:8100',
      '-worker:8100',
      `${'a'.repeat(1_000_000)}:8100`,
    ],
  ])('is not %.40s', (text) => expect(isWorkerAddress(text)).toBe(false));
});
