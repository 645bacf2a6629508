import { hostname } from 'node:os';
import { describe, expect, it } from 'vitest';
import { meansThisMachine } from './local-host.js';

describe('a Host header', () => {
  it.each([
    'localhost',
    'LOCALHOST:8000',
    'localhost.:8000',
    '127.0.0.1',
    '127.8.9.10:8000',
    '[::1]:8000',
    '[::1]',
    '0.0.0.0:8000',
    '192.168.1.7:8000',
    'host.docker.internal:8000',
    'my-machine.local',
    'ai.localhost:8000',
    'gateway:8000',
    `${hostname()}:8000`,
    undefined,
  ])('means this machine: %s', (host) => expect(meansThisMachine(host)).toBe(true));

  it.each([
    'evil.example',
    'evil.example:8000',
    'evil.example.:8000',
    'localhost.evil.example',
    '127.0.0.1.nip.io:8000',
    '127.0.0.1.evil.example',
    'xlocalhost.org',
    'evil.notlocal',
    'localhost@evil.example',
    'evil.example:80:80',
    '[::1].evil.example',
    'a b.c',
    '',
    '.',
    '.localhost',
    ':8000',
  ])('may be a name that a web page was given: %j', (host) => expect(meansThisMachine(host)).toBe(false));
});
