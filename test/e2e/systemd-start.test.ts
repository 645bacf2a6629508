import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdtempSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../bench/programs.js';
import { childrenOf } from './processes.js';
import { ROOT } from './stack.js';

const INSTALL_TIMEOUT_MS = 300_000;
const READY_TIMEOUT_MS = 90_000;
const why = whyNot();

/** As whoever follows docs/how-to/systemd.md has it: installed by `make install-systemd`, started by systemd itself. */
describe.skipIf(why !== undefined)(
  `the units, started by a systemd of their own${why === undefined ? '' : ` (skipped: ${why})`}`,
  () => {
    const folder = mkdtempSync(join(tmpdir(), 'millrace-systemd-'));
    // Users of the units have to get through.
    chmodSync(folder, 0o755);
    const environmentFile = join(folder, 'etc/millrace/millrace.env');
    let systemd: ChildProcess;

    beforeAll(async () => {
      // Some keep what root makes to root.
      execFileSync('sh', ['-c', 'umask 077; exec tools/systemd/install.sh install'], {
        cwd: ROOT,
        env: { ...process.env, DESTDIR: folder },
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      systemd = spawn(join(ROOT, 'test/systemd/own-systemd.sh'), [folder], { stdio: ['ignore', 'inherit', 'inherit'] });
      await until(
        async () => /running|degraded/.test(attempt('systemctl', 'is-system-running')),
        READY_TIMEOUT_MS,
        'it is up',
      );
    }, INSTALL_TIMEOUT_MS);
    afterAll(async () => {
      const gone = once(systemd, 'exit');
      const pid = firstOf(systemd);
      if (pid !== undefined) process.kill(pid, 'SIGKILL');
      await gone;
      rmSync(folder, { recursive: true, force: true });
    });

    const inside = (...command: string[]) => {
      const pid = firstOf(systemd);
      if (pid === undefined) throw new Error('systemd has not started');
      const place = [
        '--target',
        `${pid}`,
        '--all',
        '--root',
        '--wdns=/',
        'env',
        '-i',
        'PATH=/usr/sbin:/usr/bin:/sbin:/bin',
      ];
      return execFileSync('nsenter', [...place, ...command], { encoding: 'utf8', stdio: 'pipe' }).trim();
    };
    /** What it said, also where its status is not 0. */
    const attempt = (...command: string[]) => {
      try {
        return inside(...command);
      } catch (error) {
        return String((error as { stdout?: string }).stdout ?? error).trim();
      }
    };
    const log = (unit: string) => attempt('journalctl', '--unit', unit, '--no-pager', '--output=cat');
    const ready = (unit: string) =>
      until(
        async () => attempt('/opt/millrace/bin/millrace', 'health') === 'The gateway is ready.',
        READY_TIMEOUT_MS,
        `${unit} is ready`,
      );
    const capitalOfFrance = (model: string, key = '') =>
      inside(
        '/opt/millrace/bin/node',
        '--eval',
        `fetch('http://127.0.0.1:8000/v1/chat/completions', {
          method: 'POST',
          headers: { 'content-type': 'application/json', authorization: 'Bearer ${key}' },
          body: JSON.stringify({
            model: '${model}', temperature: 0,
            messages: [{ role: 'user', content: 'What is the capital of France?' }],
          }),
        }).then((answer) => answer.text()).then(console.log)`,
      );
    const state = (unit: string) => attempt('systemctl', 'show', unit, '--property=ActiveState,Result,NRestarts');

    it('installs what every user may read, and settings that only root may', () => {
      for (const path of ['opt', 'opt/millrace', 'etc/millrace', 'etc/systemd/system']) {
        expect((statSync(join(folder, path)).mode & 0o777).toString(8), path).toBe('755');
      }
      expect((statSync(environmentFile).mode & 0o777).toString(8)).toBe('600');
    });

    it('answers as a user that has nothing but its own folder, comes back when it is killed, and ends with 0', async () => {
      inside('systemctl', 'start', 'millrace');
      await ready('millrace');
      expect(capitalOfFrance('millrace-demo')).toContain('The capital of France is Paris.');
      const [main] = inside('systemctl', 'show', '--property=MainPID', '--value', 'millrace').split('\n');
      const status = inside('cat', `/proc/${main}/status`);
      expect(status).toMatch(/^Uid:\s*6\d{4}\t/m);
      expect(status).toMatch(/^CapEff:\s*0+$/m);
      expect(status).toMatch(/^NoNewPrivs:\s*1\nSeccomp:\s*2$/m);
      expect(
        inside('stat', '--format=%a', '/var/lib/private/millrace', '/var/lib/private/millrace/data/admin-key'),
      ).toBe('700\n600');
      inside('kill', '-KILL', main!);
      await until(async () => state('millrace').includes('NRestarts=1'), READY_TIMEOUT_MS, 'it is started again');
      await ready('millrace');
      inside('systemctl', 'stop', 'millrace');
      expect(state('millrace').split('\n')).toEqual(expect.arrayContaining(['ActiveState=inactive', 'Result=success']));
      expect(log('millrace')).not.toMatch(/EPERM|EROFS|EACCES/);
    });

    it('serves a model of the models file by the two other units, to whoever has the key that the docs make', async () => {
      inside('cp', '/opt/millrace/models/millrace-demo.gguf', '/srv/any.gguf');
      writeFileSync(join(folder, 'etc/millrace/models.yaml'), 'models:\n  - id: mine\n    path: /srv/any.gguf\n');
      appendFileSync(environmentFile, 'MILLRACE_MODELS_FILE=/etc/millrace/models.yaml\nMILLRACE_HOST=0.0.0.0\n');
      inside('systemctl', 'start', 'millrace-worker', 'millrace-gateway');
      await ready('millrace-gateway');
      expect(capitalOfFrance('mine')).toContain('invalid_api_key');
      const create = ['/opt/millrace/bin/millrace', 'keys', 'create', 'me', '--quiet'];
      const key = inside('env', 'MILLRACE_DATA_FOLDER=/var/lib/millrace-gateway/data', ...create);
      expect(capitalOfFrance('mine', key)).toContain('Paris');
      // They exclude each other.
      inside('systemctl', 'start', 'millrace');
      expect(attempt('systemctl', 'is-active', 'millrace-gateway', 'millrace-worker', 'millrace')).toBe(
        'inactive\ninactive\nactive',
      );
      inside('systemctl', 'stop', 'millrace');
    });

    it('stays down after five starts that failed, and says why', async () => {
      appendFileSync(environmentFile, 'MILLRACE_PORT=http\n');
      attempt('systemctl', 'start', 'millrace-gateway');
      await until(
        async () => state('millrace-gateway').includes('ActiveState=failed'),
        READY_TIMEOUT_MS,
        'it gives up',
      );
      expect(log('millrace-gateway')).toContain('MILLRACE_PORT in the environment is "http".');
      expect(log('millrace-gateway')).toContain('Start request repeated too quickly');
    });
  },
);

/** The process that systemd is: the only child of what made its namespaces. */
function firstOf(script: ChildProcess): number | undefined {
  const [maker] = childrenOf(script.pid!);
  return maker && childrenOf(maker.pid).find(({ command }) => command.includes('systemd'))?.pid;
}

function whyNot(): string | undefined {
  if (process.platform !== 'linux') return 'it wants Linux';
  if (process.getuid?.() !== 0) return 'it wants root, for mounts and control groups';
  if (!existsSync('/lib/systemd/systemd')) return 'there is no systemd on this machine';
  try {
    const tried =
      'mount -t tmpfs tmpfs /mnt && mkdir /mnt/a /mnt/b /mnt/c && mount -t overlay o -o lowerdir=/,upperdir=/mnt/a,workdir=/mnt/b /mnt/c';
    execFileSync('unshare', ['--mount', '--pid', '--fork', 'sh', '-c', tried], { stdio: 'pipe' });
    const groups = execFileSync('awk', ['$3 == "cgroup2" { print $2; exit }', '/proc/self/mounts'], {
      encoding: 'utf8',
    }).trim();
    if (groups === '') return 'there are no control groups of version 2';
    const probe = mkdtempSync(join(groups, 'millrace-'));
    rmdirSync(probe);
    return undefined;
  } catch (error) {
    return `namespaces are not to be had here: ${(error as Error).message.trim().split('\n').at(-1)}`;
  }
}
