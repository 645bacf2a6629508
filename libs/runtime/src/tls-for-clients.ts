import { isIP } from 'node:net';
import type { WatchedTls } from './watched-tls.js';

/** As `tls.connect` takes them. */
export interface ClientTls {
  readonly ca: Buffer | undefined;
  readonly cert: Buffer | undefined;
  readonly key: Buffer | undefined;
  readonly minVersion: 'TLSv1.2';
  readonly servername?: string;
}

/**
 * For clients that read their options anew for each connection: they get what is in force then. Without a CA, those that Node trusts.
 *
 * @param url whose host the server is asked for by, where several share an address; SNI takes no numbers
 */
export function clientTls(tls: WatchedTls | undefined, url?: string): ClientTls {
  const host = url === undefined ? '' : new URL(url).hostname.replace(/^\[(.*)\]$/, '$1');
  return {
    get ca() {
      return tls?.current.ca;
    },
    get cert() {
      return tls?.current.cert;
    },
    get key() {
      return tls?.current.key;
    },
    minVersion: 'TLSv1.2',
    ...(host !== '' && isIP(host) === 0 && { servername: host }),
  };
}

/** What goes wrong in a handshake, in OpenSSL's words and Node's, and what it comes down to for who has to mend it. */
function failures(group: string): readonly (readonly [RegExp, string])[] {
  const ownCertificate = `the certificate of ${group}.certFile`;
  return [
    [/wrong version number|packet length too long|does not support SSL/i, 'it speaks no TLS, and this side does'],
    [/certificate has expired/i, 'its certificate has expired'],
    [/certificate is not yet valid/i, 'its certificate is not valid yet; compare the clocks'],
    [
      /self.signed certificate|certificate signature failure/i,
      `its certificate is of another authority than ${group}.caFile holds`,
    ],
    [
      /unable to (verify|get)/i,
      `its certificate is of another authority than ${group}.caFile holds, or its file lacks the authorities in between`,
    ],
    [
      /alert certificate required/i,
      `it demands a certificate, and was shown none; give it ${group}.certFile and keyFile`,
    ],
    [/alert certificate expired/i, `it refuses ${ownCertificate}, which has expired`],
    [
      /alert (unknown ca|bad certificate|decrypt error|certificate unknown|unsupported certificate|handshake failure|access denied)/i,
      `it refuses ${ownCertificate}, most likely for its authority`,
    ],
    [/no shared cipher|unsupported protocol|alert protocol version/i, 'it speaks no version of TLS that is still safe'],
  ];
}

/**
 * Why a connection that was to be secured failed, as the end of a sentence; undefined where TLS is not why.
 *
 * @param group the settings that it was secured by
 */
export function tlsFailure(message: string, group: string): string | undefined {
  const [, names] = /does not match certificate's altnames: (.*)/s.exec(message) ?? [];
  if (names !== undefined) return `its certificate is for another name (${names.replace(/\.$/, '')})`;
  return failures(group).find(([pattern]) => pattern.test(message))?.[1];
}
