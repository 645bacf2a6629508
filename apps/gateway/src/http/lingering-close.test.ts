import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { expect, it } from 'vitest';
import { lingerOverBodies } from './lingering-close.js';

/** More than a stack is deep. */
const REQUESTS = 20_000;

it('ends a connection that has had any number of requests', { timeout: 60_000 }, async () => {
  let asked = 0;
  const server = createServer((request, response) => {
    asked++;
    request.resume();
    response.end();
  });
  lingerOverBodies(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1').resume();
  const closed = once(socket, 'close');
  const request = (connection: string) =>
    `POST / HTTP/1.1\r\nhost: x\r\nconnection: ${connection}\r\ncontent-length: 2\r\n\r\n{}`;
  for (let sent = 1; sent < REQUESTS; sent++) {
    if (!socket.write(request('keep-alive'))) await once(socket, 'drain');
  }
  socket.write(request('close'));
  await closed; // What is thrown while it ends is nobody's to catch, and fails the run.
  server.close();
  expect(asked).toBe(REQUESTS);
});
