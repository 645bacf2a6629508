import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { CertificateFolder, type Pair, TestAuthority } from './certificates.testing.js';
import { createLogger, type Logger } from './logger.js';
import { WatchedTls } from './watched-tls.js';

const CHECK_MS = 10;
/** On a machine that has much else to do. */
const SOON = { timeout: 10_000 };
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

interface Line {
  readonly level: string;
  readonly msg: string;
}
const [INFO, WARN, ERROR] = ['info', 'warn', 'error'];

describe('certificates in files', () => {
  let authority: TestAuthority;
  let [one, other]: Pair[] = [];
  let folder: CertificateFolder;
  let lines: Line[];
  let logger: Logger;
  const opened: WatchedTls[] = [];

  beforeAll(async () => {
    authority = await TestAuthority.make();
    [one, other] = [await authority.sign('one'), await authority.sign('other')];
  });
  beforeEach(() => {
    folder = new CertificateFolder();
    lines = [];
    const write = (line: string) => void lines.push(JSON.parse(line));
    logger = createLogger({ name: 'gateway', level: 'info', format: 'json' }, { write });
  });
  afterEach(() => {
    for (const tls of opened.splice(0)) tls.close();
    folder[Symbol.dispose]();
  });

  const open = async (files: { certFile?: string; keyFile?: string; caFile?: string }, nowMs = Date.now) => {
    const tls = await WatchedTls.open({ group: 'tls', ...files }, logger, { checkMs: CHECK_MS, nowMs });
    opened.push(tls);
    return tls;
  };
  const certOf = (tls: WatchedTls) => tls.current.cert?.toString();
  const said = (level: string | undefined) => lines.filter((line) => line.level === level).map(({ msg }) => msg);
  const looks = (count: number) => new Promise((wake) => setTimeout(wake, CHECK_MS * 2 * count));

  it('are read again when they change, and whoever watches is told once', async () => {
    const tls = await open(folder.writePair('server', one!));
    const told: (string | undefined)[] = [];
    tls.watch(({ cert }) => told.push(cert?.toString()));
    folder.writePair('server', other!);
    await expect.poll(() => certOf(tls), SOON).toBe(other!.cert);
    await looks(3);
    expect(told).toEqual([other!.cert]);
    expect(tls.current.key?.toString()).toBe(other!.key);
    expect(said(INFO)).toHaveLength(1);
    expect(tls.trouble).toBeUndefined();
  });

  it('come into force as a pair only, whichever of the two is written first', async () => {
    const files = folder.writePair('server', one!);
    const tls = await open(files);
    writeFileSync(files.keyFile, other!.key);
    await expect.poll(() => tls.trouble, SOON).toContain('is not that of the certificate');
    expect(certOf(tls)).toBe(one!.cert);
    writeFileSync(files.certFile, other!.cert);
    await expect.poll(() => certOf(tls), SOON).toBe(other!.cert);
    expect(tls.current.key?.toString()).toBe(other!.key);
    expect(tls.trouble).toBeUndefined();
  });

  it('may be links that are swapped, as Kubernetes does it', async () => {
    const version = (name: string, { cert, key }: Pair) => {
      mkdirSync(join(folder.path, name));
      writeFileSync(join(folder.path, name, 'tls.crt'), cert);
      writeFileSync(join(folder.path, name, 'tls.key'), key, { mode: 0o600 });
    };
    const swapTo = (name: string) => {
      symlinkSync(name, join(folder.path, '..new'));
      renameSync(join(folder.path, '..new'), join(folder.path, '..data'));
    };
    version('..1', one!);
    swapTo('..1');
    symlinkSync('..data/tls.crt', join(folder.path, 'tls.crt'));
    symlinkSync('..data/tls.key', join(folder.path, 'tls.key'));
    const tls = await open({ certFile: join(folder.path, 'tls.crt'), keyFile: join(folder.path, 'tls.key') });
    version('..2', other!);
    swapTo('..2');
    await expect.poll(() => certOf(tls), SOON).toBe(other!.cert);
    expect(said(WARN)).toEqual([]);
  });

  it.each([
    ['nonsense', 'nonsense', 'holds no certificate'],
    ['an empty file', '', 'holds no certificate'],
    ['half a certificate', '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----', "can't be read"],
    ['a file of megabytes', 'x'.repeat(1024 * 1024 + 1), '1,048,577 bytes; at most 1,048,576'],
  ])('keep what was there when %s takes their place, and say so once', async (_what, content, why) => {
    const files = folder.writePair('server', one!);
    const tls = await open(files);
    writeFileSync(files.certFile, content);
    await expect.poll(() => tls.trouble, SOON).toContain(why);
    await looks(5);
    expect(certOf(tls)).toBe(one!.cert);
    expect(said(WARN)).toEqual([expect.stringContaining('What was read before stays in force')]);
    expect(said(WARN)[0]).toContain(`${files.certFile} (tls.certFile)`);
    writeFileSync(files.certFile, one!.cert);
    await expect.poll(() => tls.trouble, SOON).toBeUndefined();
  });

  it('keep what was there when they are gone', async () => {
    const files = folder.writePair('server', one!);
    const tls = await open(files);
    rmSync(files.keyFile);
    await expect.poll(() => tls.trouble, SOON).toContain(`${files.keyFile} (tls.keyFile) is not there`);
    expect(tls.current.key?.toString()).toBe(one!.key);
    writeFileSync(files.keyFile, one!.key);
    await expect.poll(() => tls.trouble, SOON).toBeUndefined();
  });

  it('keep one that is valid rather than take one that is not, until that is', async () => {
    let nowMs = Date.now();
    const files = folder.writePair('server', one!);
    const tls = await open(files, () => nowMs);
    folder.writePair('server', await authority.sign('past', { toMs: -HOUR_MS }));
    await expect.poll(() => tls.trouble, SOON).toContain('is expired since');
    expect(certOf(tls)).toBe(one!.cert);
    const later = await authority.sign('later', { fromMs: HOUR_MS });
    folder.writePair('server', later);
    await expect.poll(() => tls.trouble, SOON).toContain('is not valid before');
    expect(certOf(tls)).toBe(one!.cert);
    nowMs += 2 * HOUR_MS;
    await expect.poll(() => certOf(tls), SOON).toBe(later.cert);
    expect(tls.trouble).toBeUndefined();
  });

  it('expire while running: said at each stage once, and what was there stays in force until another comes', async () => {
    let nowMs = Date.now();
    const files = folder.writePair(
      'server',
      await authority.sign('brief', { fromMs: -300 * DAY_MS, toMs: 40 * DAY_MS }),
    );
    const tls = await open(files, () => nowMs);
    await looks(2);
    expect(said(WARN)).toEqual([]);
    for (const [days, text] of [
      [11, '28 days'],
      [34, '5 days'],
      [39.5, '11 hours'],
    ] as const) {
      nowMs = Date.now() + days * DAY_MS;
      await expect.poll(() => said(WARN).at(-1), SOON).toContain(`expires in ${text}`);
    }
    await looks(3);
    expect(said(WARN)).toHaveLength(3);
    expect(tls.trouble).toBeUndefined();
    nowMs = Date.now() + 41 * DAY_MS;
    await expect.poll(() => said(ERROR), SOON).toEqual([expect.stringContaining('is expired since')]);
    expect(tls.trouble).toContain('Put a new one in its place; no restart is needed.');
    expect(tls.secondsLeft).toBeLessThan(-80_000);
    folder.writePair('server', one!);
    await expect.poll(() => certOf(tls), SOON).toBe(one!.cert);
    expect(tls.trouble).toBeUndefined();
  });

  it('may have expired when it starts, which is said loudly', async () => {
    const tls = await open(folder.writePair('server', await authority.sign('past', { toMs: -HOUR_MS })));
    expect(said(ERROR)).toEqual([expect.stringContaining('is expired since')]);
    expect(tls.trouble).toBeDefined();
  });

  it('are the end of a start that can not use them', async () => {
    const files = folder.writePair('server', one!);
    const refusal = (changes: object) => expect(open({ ...files, ...changes })).rejects;
    const otherKey = folder.write('other-key.pem', other!.key);
    await refusal({ keyFile: otherKey }).toThrow(
      `The key in ${otherKey} (tls.keyFile) is not that of the certificate in ${files.certFile} (tls.certFile).`,
    );
    await refusal({ keyFile: files.certFile }).toThrow('holds no private key');
    await refusal({ certFile: join(folder.path, 'absent.pem') }).toThrow('absent.pem (tls.certFile) is not there.');
    await refusal({ certFile: folder.path }).toThrow('is not a file');
    await refusal({ caFile: folder.write('ca.pem', 'none') }).toThrow('ca.pem (tls.caFile) holds no certificate');
    const encrypted = join(folder.path, 'encrypted.pem');
    execFileSync('openssl', ['pkey', '-in', files.keyFile, '-aes256', '-passout', 'pass:secret', '-out', encrypted]);
    await refusal({ keyFile: encrypted }).toThrow('is encrypted, and there is no setting for its passphrase');
  });

  it('warn of a key that everybody on the machine can read', async () => {
    const { certFile, keyFile } = folder.writePair('server', one!);
    await open({ certFile, keyFile });
    expect(said(WARN)).toEqual([]);
    const exposed = folder.write('exposed.pem', one!.key, 0o644);
    await open({ certFile, keyFile: exposed });
    expect(said(WARN)).toEqual([expect.stringContaining(`chmod o-r ${exposed}`)]);
  });

  it('may be an authority alone', async () => {
    const tls = await open({ caFile: folder.write('ca.pem', authority.cert) });
    const next = await TestAuthority.make('another');
    folder.write('ca.pem', next.cert);
    await expect.poll(() => tls.current.ca?.toString(), SOON).toBe(next.cert);
    expect(tls.current.subject).toBe('CN=another');
  });

  it('are let go of when nobody needs them any more', async () => {
    const tls = await open(folder.writePair('server', one!));
    tls.close();
    folder.writePair('server', other!);
    await looks(5);
    expect(certOf(tls)).toBe(one!.cert);
  });
});
