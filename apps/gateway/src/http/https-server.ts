import { constants } from 'node:crypto';
import type { ServerOptions } from 'node:https';
import type { Server as TlsServer } from 'node:tls';
import type { TlsMaterial, WatchedTls } from '@millrace/runtime';

/** Whoever takes longer to agree on keys is slow on purpose, or gone. */
const HANDSHAKE_TIMEOUT_MS_MAX = 10_000;

/** What Node is told of HTTPS. @param bodyTimeoutMs for those who have it shorter than handshakes may take. */
export function httpsOptions(tls: WatchedTls, bodyTimeoutMs: number): ServerOptions {
  return {
    ...contextOf(tls.current),
    handshakeTimeout: Math.min(HANDSHAKE_TIMEOUT_MS_MAX, bodyTimeoutMs),
    ALPNProtocols: ['http/1.1'],
  };
}

/** From now on new connections get what is in force then; those that are open go on. Returns what stops that. */
export function renewCertificates(server: TlsServer, tls: WatchedTls): () => void {
  return tls.watch((material) => server.setSecureContext(contextOf(material)));
}

function contextOf({ cert, key }: TlsMaterial) {
  return {
    cert,
    key,
    minVersion: 'TLSv1.2' as const,
    // Only TLS 1.2 has it, nobody needs it, and each costs the server a signature.
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
  };
}
