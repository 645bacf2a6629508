import { isIP } from 'node:net';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import type { TlsMaterial } from './tls-files.js';
import { tlsFailure } from './tls-for-clients.js';
import type { WatchedTls } from './watched-tls.js';

type AuthorityListener = (update: { caCertificate: Buffer } | null) => void;
type IdentityListener = (update: { certificate: Buffer; privateKey: Buffer } | null) => void;

/**
 * What grpc-js calls a certificate provider, both for who one is and for whom one trusts: what is in force is told, and every
 * change of it. Connections that are open keep what they were made with.
 */
export class GrpcCertificates {
  readonly #tls: WatchedTls;
  readonly #stops = new Map<unknown, () => void>();

  constructor(tls: WatchedTls) {
    this.#tls = tls;
  }

  addCaCertificateListener(listener: AuthorityListener): void {
    this.#tell(listener, ({ ca }) => listener(ca === undefined ? null : { caCertificate: ca }));
  }

  removeCaCertificateListener(listener: AuthorityListener): void {
    this.#forget(listener);
  }

  addIdentityCertificateListener(listener: IdentityListener): void {
    this.#tell(listener, ({ cert, key }) =>
      listener(cert === undefined || key === undefined ? null : { certificate: cert, privateKey: key }),
    );
  }

  removeIdentityCertificateListener(listener: IdentityListener): void {
    this.#forget(listener);
  }

  #tell(listener: unknown, tell: (material: TlsMaterial) => void): void {
    this.#forget(listener);
    this.#stops.set(listener, this.#tls.watch(tell));
    // Not at once: grpc-js hears only when it has finished adding this.
    process.nextTick(() => {
      if (this.#stops.has(listener)) tell(this.#tls.current);
    });
  }

  #forget(listener: unknown): void {
    this.#stops.get(listener)?.();
    this.#stops.delete(listener);
  }
}

/** What is said to a worker of its name where its address has none: SNI takes no numbers. */
const NAMELESS = 'millrace-worker';

/** How a channel to `address` checks whom it reached: by `serverName`, else by the host of the address, be it a name or a number. */
export function workerIdentity(address: string, serverName: string | undefined) {
  const host = hostOf(address);
  const expected = serverName ?? host;
  return {
    verify: {
      checkServerIdentity: (_host: string, certificate: PeerCertificate) => {
        const error = checkServerIdentity(expected, certificate);
        if (error === undefined) return undefined;
        const names = certificate.subjectaltname?.replaceAll('IP Address:', '').replaceAll('DNS:', '') || 'no name';
        return new Error(
          `its certificate is for ${names}, and not for ${expected}; give it one that is, or say its name with workerTls.serverName`,
        );
      },
    },
    channel: { 'grpc.ssl_target_name_override': isIP(expected) === 0 ? expected : NAMELESS },
  };
}

/** `dns:///worker.svc:8100` → `worker.svc`; `[::1]:8100` → `::1`. */
function hostOf(address: string): string {
  const [, bracketed, plain] = /^(?:[a-z0-9+]+:\/*)?(?:\[([^\]]+)\]|([^:/]+))(?::\d+)?$/.exec(address) ?? [];
  return bracketed ?? plain ?? address;
}

/** What grpc-js says where the other side closed a connection before a word was said on it. */
const CLOSED =
  /Last error: .*(?:Failed to connect \(|ECONNRESET|socket hang up)|disconnected before secure TLS connection/s;

/**
 * Why a worker can't be reached by TLS, or without, as the end of a sentence; undefined where TLS is not why.
 *
 * @param tls what this side speaks TLS with; undefined: it does not
 */
export function workerTlsFailure(
  message: string,
  tls: Pick<WatchedTls, 'secondsLeft'> | undefined,
): string | undefined {
  if (tls === undefined) {
    return CLOSED.test(message)
      ? 'it closes the connection without a word; if it speaks TLS, give this side the files of workerTls'
      : undefined;
  }
  const [wrongName] = /its certificate is for .*? workerTls\.serverName/s.exec(message) ?? [];
  if (wrongName !== undefined) return wrongName;
  const why = tlsFailure(message, 'workerTls');
  if (why === 'it speaks no TLS, and this side does') return `${why}; give both the files of workerTls, or neither`;
  if (why !== undefined || !CLOSED.test(message)) return why;
  // In TLS 1.3 this side is done before the other has judged its certificate, and why that is refused comes too late to be heard.
  return tls.secondsLeft <= 0
    ? 'it refuses the certificate of workerTls.certFile, which has expired'
    : 'it closes the connection having seen the certificate of workerTls.certFile: most likely its own workerTls.caFile holds another authority';
}
