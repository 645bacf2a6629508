import { once } from 'node:events';
import { connect } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { InferenceError, type Settings } from '@millrace/contracts';
import type { FakeWorkerOptions } from './dispatch/fake-worker.testing.js';
import { TestBed } from './gateway.testing.js';
import { type Authenticator, EVERYBODY } from './keys/authenticator.js';
import { ANYONE } from './vocabulary.js';

/** The one key that is known. */
export const KEY = 'sk-mr-known-key';

/** Knows one key, by heart: what is tried here is what HTTP does with whoever has none. */
const oneKey: Authenticator = {
  ...EVERYBODY,
  authenticate: (presented) => {
    if (presented === KEY) return { ...ANYONE, keyId: 'known', keyName: 'the known one' };
    throw new InferenceError('invalid_api_key', 'The API key is unknown. Send a valid one.');
  },
};

/** The real gateway, all of it but for its keys, with a worker that only pretends to think. */
export async function startKeyedGateway(
  settings: Partial<Settings> = {},
  worker: FakeWorkerOptions = {},
  authenticator: Authenticator = oneKey,
): Promise<TestBed & { readonly port: number }> {
  const bed = await TestBed.start(settings, [worker], true, '127.0.0.1', { authenticator });
  return Object.assign(bed, { port: bed.gateway.port });
}

const MIB = 1024 * 1024;

/** Bytes that are really in use: what is only waiting to be collected is collected first. */
function bytesInUse(): number {
  setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
  const { arrayBuffers, heapUsed } = process.memoryUsage();
  return arrayBuffers + heapUsed;
}

/**
 * Sends a hundred mebibytes of body behind `head`, whatever is answered meanwhile.
 *
 * @returns what was answered, and how much more memory was in use while the last of it was on its way.
 */
export async function sendHundredMib(port: number, head: string, how: 'declared' | 'chunked') {
  const socket = connect(port, '127.0.0.1');
  let said = '';
  socket
    .on('error', () => {})
    .on('data', (data) => {
      said += data;
    });
  const closed = once(socket, 'close').catch(() => {});
  const length = how === 'chunked' ? 'transfer-encoding: chunked' : `content-length: ${100 * MIB}`;
  socket.write(`${head}${length}\r\n\r\n`);
  const piece = Buffer.alloc(MIB, ' ');
  const chunk = how === 'declared' ? piece : Buffer.concat([Buffer.from('100000\r\n'), piece, Buffer.from('\r\n')]);
  const before = bytesInUse();
  for (let sent = 0; sent < 99 && !socket.destroyed; sent++) {
    if (!socket.write(chunk)) await Promise.race([once(socket, 'drain').catch(() => {}), closed]);
  }
  const moreBytes = bytesInUse() - before;
  socket.write(chunk);
  socket.end(how === 'chunked' ? '0\r\n\r\n' : '');
  await closed;
  return { said, moreBytes };
}
