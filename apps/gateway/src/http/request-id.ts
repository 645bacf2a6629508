import type { IncomingMessage } from 'node:http';
import { randomHex } from '@millrace/runtime';

/** Visible ASCII, so that an id can neither break a header nor a log line. */
const SANE = /^[\x21-\x7e]{1,128}$/;

/** A caller's own `x-request-id` if it is sane, else a new one. Every answer carries it, errors and streams included. */
export function requestIdOf(request: Pick<IncomingMessage, 'headers'>): string {
  const given = request.headers['x-request-id'];
  return typeof given === 'string' && SANE.test(given) ? given : newRequestId();
}

export function newRequestId(): string {
  return `req_${randomHex(12)}`;
}
