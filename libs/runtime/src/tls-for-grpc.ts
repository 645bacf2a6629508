import { isIP } from 'node:net';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import type { TlsMaterial } from './tls-files.js';
import type { WatchedTls } from './watched-tls.js';

type AuthorityListener = (update: { caCertificate: Buffer } | null) => void;
type IdentityListener = (update: { certificate: Buffer; privateKey: Buffer } | null) => void;

/**
 * What grpc-js calls a certificate provider, both for who one is and for whom one trusts: what is in force is told at once, and every
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
    tell(this.#tls.current);
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

/** Failures of TLS between two sides that were meant to know each other, each as the end of a sentence. */
const FAILURES: readonly (readonly [RegExp, string])[] = [
  [/certificate is for (.+)/, '$&'],
  [
    /wrong version number|packet length too long/i,
    'it speaks no TLS, and this side does; give both the files of workerTls, or neither',
  ],
  [/certificate has expired/i, 'its certificate has expired'],
  [/certificate is not yet valid/i, 'its certificate is not valid yet; compare the clocks'],
  [
    /self.signed certificate|unable to (verify|get)|signature failure/i,
    'its certificate is of another authority than workerTls.caFile holds',
  ],
  [
    /alert certificate required/i,
    'it demands a certificate, and this side showed none; give it workerTls.certFile and keyFile',
  ],
  [/alert certificate expired/i, 'it refuses the certificate of workerTls.certFile, which has expired'],
  [
    /alert (unknown ca|bad certificate|decrypt error|certificate unknown|unsupported certificate|handshake failure|access denied)/i,
    'it refuses the certificate of workerTls.certFile: its own workerTls.caFile holds another authority',
  ],
];

/** Why a connection failed that was to be secured, as the end of a sentence; undefined where TLS is not why. */
export function tlsFailure(message: string): string | undefined {
  for (const [pattern, sentence] of FAILURES) {
    const found = pattern.exec(message);
    if (found) return sentence === '$&' ? `its ${found[0].replace(/\. Resolution note.*$/, '')}` : sentence;
  }
  return undefined;
}
