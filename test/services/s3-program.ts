import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { findProgram, NotInstalled } from './real-service.ts';

/** An S3 server that can be started here. Nothing of ours may need more of it than the plain S3 API. */
export interface S3Program {
  readonly kind: 'minio' | 'versitygw' | 's3rver';
  readonly path: string;
  /** How it came here, for whoever reads what the tests print. */
  readonly from: string;
}

const CACHE = resolve(import.meta.dirname, '../../.millrace/cache/s3');
const VERSITYGW_VERSION = 'v1.8.0';
const VERSITYGW = `github.com/versity/versitygw/cmd/versitygw@${VERSITYGW_VERSION}`;
const S3RVER = 's3rver@3.7.1';
/** Two and a half minutes of two cores, and what it fetches before. */
const BUILD_TIMEOUT_MS = 900_000;
const INSTALL_TIMEOUT_MS = 180_000;

/**
 * A `minio` of this machine's, else a server that is built from Go's module registry where Go is installed, else one from npm
 * that takes no files in parts. What was built or fetched once is kept.
 *
 * @throws NotInstalled when none of the three can be had.
 */
export function findS3Program(tell: (line: string) => void): S3Program {
  const found = minio() ?? versitygw(tell) ?? s3rver(tell);
  if (found === undefined) throw new NotInstalled('There is no S3 server: no minio, no Go to build one, and no npm.');
  return found;
}

function minio(): S3Program | undefined {
  const path = findProgram('minio', []);
  return path === undefined ? undefined : { kind: 'minio', path, from: 'this machine' };
}

function versitygw(tell: (line: string) => void): S3Program | undefined {
  const folder = join(CACHE, `versitygw-${VERSITYGW_VERSION}`);
  const path = join(folder, 'versitygw');
  const program: S3Program = { kind: 'versitygw', path, from: `Go's module registry (${VERSITYGW})` };
  if (existsSync(path)) return program;
  const go = findProgram('go', ['/usr/local/go/bin']);
  if (go === undefined) return undefined;
  tell(`Building an S3 server for the tests, some minutes, once: go install ${VERSITYGW}`);
  mkdirSync(folder, { recursive: true });
  const built = spawnSync(go, ['install', VERSITYGW], {
    env: { ...process.env, GOBIN: folder, GOFLAGS: '-mod=mod' },
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: BUILD_TIMEOUT_MS,
    encoding: 'utf8',
  });
  if (built.status === 0) return program;
  tell(`It can't be built: ${built.stderr.trim().split('\n').at(-1) || (built.error?.message ?? 'it took too long')}`);
  return undefined;
}

function s3rver(tell: (line: string) => void): S3Program | undefined {
  const folder = join(CACHE, S3RVER);
  const path = join(folder, 'node_modules/s3rver/bin/s3rver.js');
  const program: S3Program = { kind: 's3rver', path, from: `npm (${S3RVER})` };
  // Written last: what was interrupted is fetched again.
  const whole = join(folder, 'whole');
  if (existsSync(whole)) return program;
  tell(`Fetching an S3 server for the tests, once: npm install ${S3RVER}`);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{"private":true}');
  try {
    execFileSync('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error', S3RVER], {
      cwd: folder,
      stdio: ['ignore', 'ignore', 'inherit'],
      timeout: INSTALL_TIMEOUT_MS,
    });
    writeFileSync(whole, '');
    return program;
  } catch (error) {
    tell(`It can't be had: ${(error as Error).message}`);
    return undefined;
  }
}
