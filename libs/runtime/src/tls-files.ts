import { createHash, createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';

/** Up to three files, under the group of settings that names them: `workerTls` has `workerTls.certFile` and so on. */
export interface TlsFiles {
  readonly group: string;
  /** With those between it and its authority behind it. */
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
  readonly caFile?: string | undefined;
}

/** What the files hold, in PEM, and checked: the key is the certificate's. */
export interface TlsMaterial {
  readonly cert: Buffer | undefined;
  readonly key: Buffer | undefined;
  readonly ca: Buffer | undefined;
  /** Whose it is, in one line; of an authority where there is no certificate of one's own. */
  readonly subject: string;
  /** From when to when all of it is valid, in milliseconds since 1970. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** Differs where a byte does. */
  readonly digest: string;
}

/** What was read, and is not yet known to be any good. */
export interface TlsContents {
  readonly cert: Buffer | undefined;
  readonly key: Buffer | undefined;
  readonly ca: Buffer | undefined;
  readonly digest: string;
}

/** What is wrong with a file, as a sentence that names it and its setting. */
export class TlsProblem extends Error {
  override readonly name = 'TlsProblem';
}

/** The bundles of authorities that systems come with have a quarter of that. */
const FILE_BYTES_MAX = 1024 * 1024;
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;
const ENCRYPTED = /-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m;
const OTHERS_MAY_READ = 0o004;

/** @throws TlsProblem when one can't be read. */
export async function readTlsFiles(files: TlsFiles): Promise<TlsContents> {
  const [cert, key, ca] = await Promise.all([
    readOne(files, 'certFile'),
    readOne(files, 'keyFile'),
    readOne(files, 'caFile'),
  ]);
  const hash = createHash('sha256');
  for (const part of [cert, key, ca]) hash.update(`${part?.length ?? '-'}:`).update(part ?? '');
  return { cert, key, ca, digest: hash.digest('hex') };
}

/** @throws TlsProblem when it is no certificate, no key, or a key of another certificate. */
export function checkTlsContents(files: TlsFiles, contents: TlsContents): TlsMaterial {
  const { cert, key, ca } = contents;
  const chain = cert === undefined ? [] : certificatesIn(files, 'certFile', cert);
  const authorities = ca === undefined ? [] : certificatesIn(files, 'caFile', ca);
  if (key !== undefined) checkKey(files, chain[0], key);
  refuseWhatOpensslRefuses(files, contents);
  return {
    ...contents,
    subject: nameOf(chain[0] ?? authorities[0]),
    notBeforeMs: Math.max(...startsOf(chain), Math.min(...startsOf(authorities))),
    // The first of the chain that ends makes it worthless; of several authorities one that is left may be the right one.
    notAfterMs: Math.min(...endsOf(chain), authorities.length > 0 ? Math.max(...endsOf(authorities)) : Infinity),
  };
}

/** The file whose key every user of this machine can read, as a sentence; undefined where none is. */
export async function keyExposure(files: TlsFiles): Promise<string | undefined> {
  // Windows has no such bits, and Node makes them up.
  if (files.keyFile === undefined || process.platform === 'win32') return undefined;
  const mode = await stat(files.keyFile).then(
    (found) => found.mode,
    () => 0,
  );
  if ((mode & OTHERS_MAY_READ) === 0) return undefined;
  return `Every user of this machine can read the private key in ${placeOf(files, 'keyFile')}. Take that away: chmod o-r ${files.keyFile}`;
}

type Part = 'certFile' | 'keyFile' | 'caFile';

function placeOf(files: TlsFiles, part: Part): string {
  return `${files[part]} (${files.group}.${part})`;
}

async function readOne(files: TlsFiles, part: Part): Promise<Buffer | undefined> {
  const path = files[part];
  if (path === undefined) return undefined;
  try {
    const found = await stat(path);
    // Reading a pipe might never end.
    if (!found.isFile()) throw new TlsProblem(`${placeOf(files, part)} is not a file. Name one in PEM.`);
    if (found.size > FILE_BYTES_MAX) {
      const [size, max] = [found.size, FILE_BYTES_MAX].map((bytes) => bytes.toLocaleString('en-US'));
      throw new TlsProblem(`${placeOf(files, part)} has ${size} bytes; at most ${max} are read. Name another.`);
    }
    return await readFile(path);
  } catch (error) {
    if (error instanceof TlsProblem) throw error;
    const { code } = error as NodeJS.ErrnoException;
    const why = code === 'ENOENT' ? 'is not there' : `can't be read (${code ?? error})`;
    throw new TlsProblem(`${placeOf(files, part)} ${why}. Correct the setting or the file.`, { cause: error });
  }
}

function certificatesIn(files: TlsFiles, part: Part, pem: Buffer): X509Certificate[] {
  const texts = pem.toString('latin1').match(CERTIFICATE) ?? [];
  if (texts.length === 0) {
    const sentence = 'holds no certificate. It takes PEM, which begins with -----BEGIN CERTIFICATE-----.';
    throw new TlsProblem(`${placeOf(files, part)} ${sentence}`);
  }
  return texts.map((text, at) => {
    try {
      return new X509Certificate(text);
    } catch (error) {
      const which = texts.length === 1 ? 'the certificate' : `certificate ${at + 1} of ${texts.length}`;
      const sentence = `${which} in ${placeOf(files, part)} can't be read (${reasonOf(error)}). Make it anew.`;
      throw new TlsProblem(sentence.replace(/^t/, 'T'), { cause: error });
    }
  });
}

function checkKey(files: TlsFiles, certificate: X509Certificate | undefined, pem: Buffer): void {
  if (ENCRYPTED.test(pem.toString('latin1'))) {
    throw new TlsProblem(
      `The key in ${placeOf(files, 'keyFile')} is encrypted, and there is no setting for its passphrase. Decrypt it: openssl pkey -in ${files.keyFile} -out plain.pem`,
    );
  }
  let belongs: boolean | undefined;
  try {
    belongs = certificate?.checkPrivateKey(createPrivateKey(pem));
  } catch (error) {
    throw new TlsProblem(
      `${placeOf(files, 'keyFile')} holds no private key in PEM that can be read (${reasonOf(error)}). Name another.`,
      { cause: error },
    );
  }
  if (belongs !== false) return;
  throw new TlsProblem(
    `The key in ${placeOf(files, 'keyFile')} is not that of the certificate in ${placeOf(files, 'certFile')}. Give the two that belong together; the certificate itself comes first in its file, before its authorities.`,
  );
}

/** Such as a key that is too short for these times. */
function refuseWhatOpensslRefuses(files: TlsFiles, { cert, key, ca }: TlsContents): void {
  try {
    createSecureContext({ cert, key, ca });
  } catch (error) {
    throw new TlsProblem(`The files of ${files.group} can't be used together (${reasonOf(error)}). Make them anew.`, {
      cause: error,
    });
  }
}

/** `error:0A00018F:SSL routines::ee key too small` → `ee key too small`. */
function reasonOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/^error:.*::/, '');
}

/** `CN=gateway.example`, or whatever the subject has, on one line. */
function nameOf(certificate: X509Certificate | undefined): string {
  const { subject = '', subjectAltName = '' } = certificate ?? {};
  return subject.replaceAll('\n', ', ') || subjectAltName;
}

function startsOf(certificates: readonly X509Certificate[]): number[] {
  return certificates.length === 0 ? [Number.NEGATIVE_INFINITY] : certificates.map((one) => +one.validFromDate);
}

function endsOf(certificates: readonly X509Certificate[]): number[] {
  return certificates.length === 0 ? [Number.POSITIVE_INFINITY] : certificates.map((one) => +one.validToDate);
}
