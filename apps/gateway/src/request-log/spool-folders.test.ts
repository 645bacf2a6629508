import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readlinkSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ProcessIdentity, SpoolFolders } from './spool-folders.js';

describe('SpoolFolders', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'millrace-folders-'));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  /** A folder with one file in it, whose owner last showed itself so long ago. */
  const leave = (id: string, owner: ProcessIdentity | string | undefined, silentMs = 0) => {
    mkdirSync(join(root, id));
    writeFileSync(join(root, id, '00000001.jsonl'), 'line\n');
    if (owner === undefined) return;
    const file = join(root, `${id}.owner.json`);
    writeFileSync(file, typeof owner === 'string' ? owner : JSON.stringify(owner));
    const seen = new Date(Date.now() - silentMs);
    utimesSync(file, seen, seen);
  };
  const claimed = async (startedOf: (pid: number) => string | null | undefined = () => undefined) => {
    const folders = new SpoolFolders(root, {
      self: { host: 'here', pid: 1, started: 'boot/1', numbering: 'n1' },
      startedOf,
    });
    await folders.claim();
    return folders;
  };
  const adopted = async (startedOf?: (pid: number) => string | null | undefined) =>
    (await (await claimed(startedOf)).adopt()).map(({ path, bytes }) => [path.split('/').at(-1), bytes]);
  const TAKEN = [['gone-7-aaaaaaaa.00000001.jsonl', 5]];

  it.each<[string, ProcessIdentity | string | undefined, number, string | null | undefined, boolean]>([
    ['whose process is gone', { host: 'here', pid: 7, started: 'boot/5', numbering: 'n1' }, 0, undefined, true],
    ['whose process runs', { host: 'here', pid: 7, started: 'boot/5', numbering: 'n1' }, 3_600_000, 'boot/5', false],
    [
      'whose number another process has now',
      { host: 'here', pid: 7, started: 'boot/5', numbering: 'n1' },
      0,
      'boot/6',
      true,
    ],
    [
      'that nobody can tell about, and that showed itself',
      { host: 'here', pid: 7, started: null, numbering: 'n1' },
      60_000,
      null,
      false,
    ],
    [
      'that nobody can tell about, and that is silent',
      { host: 'here', pid: 7, started: null, numbering: 'n1' },
      400_000,
      null,
      true,
    ],
    ['of another machine that showed itself', { host: 'there', pid: 7, started: 'other/5' }, 60_000, undefined, false],
    ['of another machine that is silent', { host: 'there', pid: 7, started: 'other/5' }, 400_000, undefined, true],
    [
      'of a container with the same name of a host, whose number is another one here',
      { host: 'here', pid: 7, started: 'boot/5', numbering: 'n2' },
      30_000,
      'boot/6',
      false,
    ],
    [
      'of a container under the same system that is silent',
      { host: 'here', pid: 7, started: 'boot/5', numbering: 'n2' },
      70_000,
      undefined,
      true,
    ],
    ['whose file is rubbish', '{"host":1', 0, '5', true],
    ['of nobody', undefined, 0, '5', true],
  ])('looks at a folder %s', async (_what, owner, silentMs, started, isTaken) => {
    leave('gone-7-aaaaaaaa', owner, silentMs);
    expect(await adopted(() => started)).toEqual(isTaken ? TAKEN : []);
    expect(readdirSync(root).some((name) => name.startsWith('gone-7'))).toBe(!isTaken);
  });

  it('gives each file to one of several who come at once', async () => {
    for (let at = 0; at < 20; at++)
      leave(`gone-${at}-aaaaaaaa`, { host: 'here', pid: 99, started: 'boot/5', numbering: 'n1' });
    const three = await Promise.all([claimed(startedHere), claimed(startedHere), claimed(startedHere)]);
    const found = (await Promise.all(three.map((one) => one.adopt()))).flat().map(({ path }) => path);
    expect(new Set(found).size).toBe(20);
    expect(found).toHaveLength(20);
  });

  it('hands on what it inherited itself, under the name of its first owner', async () => {
    leave('gone-7-aaaaaaaa', undefined);
    const first = await claimed();
    await first.adopt();
    expect(await adopted()).toEqual(TAKEN);
  });

  it('leaves alone what is none of its own making', async () => {
    mkdirSync(join(root, 'notes'));
    writeFileSync(join(root, 'notes', 'a.jsonl'), 'mine');
    writeFileSync(join(root, 'refused.jsonl'), 'x');
    expect(await adopted()).toEqual([]);
    expect(readdirSync(join(root, 'notes'))).toEqual(['a.jsonl']);
  });

  it('tidies what is left of one that ended between its file and its folder', async () => {
    writeFileSync(
      join(root, 'gone-7-aaaaaaaa.owner.json'),
      JSON.stringify({ host: 'here', pid: 7, started: 'boot/5', numbering: 'n1' }),
    );
    await adopted();
    expect(readdirSync(root).filter((name) => name.startsWith('gone'))).toEqual([]);
  });

  it('shows itself again when somebody removed its file', async () => {
    const folders = await claimed();
    rmSync(root, { recursive: true });
    await folders.beat();
    expect(readdirSync(root)).toHaveLength(2);
  });

  it('knows real processes: those that run, and those that were killed', async () => {
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
    const mine = new SpoolFolders(root);
    await mine.claim();
    const own = readdirSync(root).find((name) => name.endsWith('.owner.json'))!;
    expect(own).toContain(`-${process.pid}-`);
    const numbering = process.platform === 'linux' ? readlinkSync('/proc/self/ns/pid') : undefined;
    leave(`x-${child.pid}-aaaaaaaa`, { host: hostname(), pid: child.pid!, started: null, numbering });
    expect(await mine.adopt()).toEqual([]);
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
    expect(await mine.adopt()).toHaveLength(1);
    // Nor does another in this process take what is this one's.
    expect(await new SpoolFolders(root).adopt()).toEqual([]);
  });
});

function startedHere(pid: number): string | undefined {
  return pid === 1 ? 'boot/1' : undefined;
}
