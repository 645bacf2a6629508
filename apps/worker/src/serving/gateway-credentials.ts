import { experimental, ServerCredentials } from '@grpc/grpc-js';
import { GrpcCertificates, type WatchedTls } from '@millrace/runtime';

/** Node's own is two minutes: time enough for a stranger to fill the process with connections that say nothing. */
const HANDSHAKE_TIMEOUT_MS = 10_000;

/**
 * Whom the worker lets in: who shows a certificate of `tls`' authority; absent: whoever comes. Each new connection is made with what is
 * in force then; those that are open keep what they have.
 */
export function gatewayCredentials(
  tls: WatchedTls | undefined,
  handshakeTimeoutMs = HANDSHAKE_TIMEOUT_MS,
): ServerCredentials {
  if (tls === undefined) return ServerCredentials.createInsecure();
  const certificates = new GrpcCertificates(tls);
  const credentials = experimental.createCertificateProviderServerCredentials(certificates, certificates, true);
  // What the server is made with, and grpc-js has no option for it.
  Object.assign(credentials._getConstructorOptions() ?? {}, { handshakeTimeout: handshakeTimeoutMs });
  return credentials;
}
