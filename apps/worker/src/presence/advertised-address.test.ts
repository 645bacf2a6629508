import { describe, expect, it } from 'vitest';
import { advertisedAddress } from './advertised-address.js';

describe('where gateways reach a worker', () => {
  it.each([
    [{ workerHost: '127.0.0.1' }, '127.0.0.1:8100'],
    [{ workerHost: 'fd00::7' }, '[fd00::7]:8100'],
    [{ workerHost: '0.0.0.0', workerAdvertise: '10.0.0.7:9000' }, '10.0.0.7:9000'],
    [{ workerHost: '0.0.0.0', workerAdvertise: '10.0.0.7' }, '10.0.0.7:8100'],
    [{ workerHost: '::', workerAdvertise: '[fd00::7]' }, '[fd00::7]:8100'],
    [{ workerHost: '::', workerAdvertise: 'fd00::7' }, '[fd00::7]:8100'],
    [{ workerHost: '::', workerAdvertise: '[fd00::7]:9000' }, '[fd00::7]:9000'],
    [{ workerHost: '::', workerAdvertise: 'worker-1.pool:9000' }, 'worker-1.pool:9000'],
  ])('%o is %s', (settings, address) => expect(advertisedAddress(settings, 8100)).toBe(address));

  it.each([
    '',
    'http://10.0.0.7:8100',
    'unix:/run/w.sock',
    '10.0.0.7:0',
    '10.0.0.7:70000',
    '0.0.0.0:8100',
    '[::]:8100',
    '::',
    'a b',
    '10.0.0.7:',
  ])('is refused where it can not be "%s"', (workerAdvertise) =>
    expect(() => advertisedAddress({ workerHost: '0.0.0.0', workerAdvertise }, 8100)).toThrow('Write host:port'),
  );

  it.each(['0.0.0.0', '::', '[::]'])('can not be told from %s alone', (workerHost) => {
    expect(() => advertisedAddress({ workerHost }, 8100)).toThrow('`workerAdvertise`');
  });
});
