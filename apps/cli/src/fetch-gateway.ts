import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { Readable } from 'node:stream';
import { getCACertificates, type PeerCertificate } from 'node:tls';
import type { Settings } from '@millrace/contracts';
import { CommandError } from './command.js';
import { gatewayUrl } from './gateway-address.js';

/** Of a request's settings, those that decide whom it believes. */
export type TrustSettings = Pick<Settings, 'host' | 'port' | 'tls.certFile' | 'tls.caFile'>;

export interface GatewayRequest {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal?: AbortSignal;
}

let trusted: TrustSettings | undefined;

/** A command is a process with one set of settings: from here on its requests believe what these say. */
export function trustGateway(settings: TrustSettings): void {
  trusted = settings;
}

/** `fetch`, for a gateway that may be known by an authority, or a certificate, that the system does not know. */
export async function fetchGateway(url: string, asked: GatewayRequest = {}): Promise<Response> {
  const { body, ...init } = asked;
  if (!url.startsWith('https:')) return fetch(url, asked as RequestInit);
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    request(url, { ...init, ...trustFor(url), agent: false }, resolve)
      .once('error', reject)
      .end(body);
  });
  const { statusCode = 0, statusMessage = '', headersDistinct } = answer;
  const headers = Object.entries(headersDistinct).flatMap(([name, values = []]) =>
    values.map((value): [string, string] => [name, value]),
  );
  const isEmpty = statusCode === 204 || statusCode === 304;
  if (isEmpty) answer.resume();
  const content = isEmpty ? null : (Readable.toWeb(answer) as ReadableStream<Uint8Array>);
  return new Response(content, { status: statusCode, statusText: statusMessage, headers });
}

/** As `tls.connect` takes it. */
export interface Trust {
  readonly ca?: string | string[];
  readonly allowPartialTrustChain?: boolean;
  readonly checkServerIdentity?: (host: string, shown: PeerCertificate) => Error | undefined;
}

/** Whom a connection to `url` believes. */
export function trustFor(url: string): Trust {
  if (trusted === undefined) return {};
  const { 'tls.caFile': caFile, 'tls.certFile': certFile } = trusted;
  if (caFile !== undefined) return { ca: [...getCACertificates('default'), read(caFile, 'tls.caFile')] };
  const isOwn = new URL(url).hostname === new URL(gatewayUrl(trusted)).hostname;
  return certFile !== undefined && isOwn ? exactly(read(certFile, 'tls.certFile')) : {};
}

/**
 * The certificate itself, and no other: the gateway of this machine is asked by an address that its certificate need not be for. What is
 * in the file is public, and only whoever has the key to it can show it.
 */
function exactly(pem: string): Trust {
  const { fingerprint256 } = new X509Certificate(pem);
  return {
    ca: pem,
    allowPartialTrustChain: true,
    checkServerIdentity: (_host: string, shown: PeerCertificate) =>
      shown.fingerprint256 === fingerprint256
        ? undefined
        : new Error('it shows another certificate than tls.certFile holds'),
  };
}

function read(path: string, setting: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new CommandError(`${path} (${setting}) can't be read (${code}). Correct the setting or the file.`);
  }
}
