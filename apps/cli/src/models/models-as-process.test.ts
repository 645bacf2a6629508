import { execFile, spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

/** As people run it: built. */
const MAIN = join(import.meta.dirname, '../../dist/main.js');
const DEMO = join(import.meta.dirname, '../../../../models/millrace-demo.gguf');
const DIGEST = '8d50b2c1794a52bd2893075d21579603cc2c895160bb2a161bbf56c2c3a1b2ed';
const TIMEOUT_MS = 60_000;
const demo = readFileSync(DEMO);

let root: string;
let bin: string;
beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'cli-models-')));
  bin = join(root, 'bin');
  mkdirSync(bin);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const environment = () => ({ PATH: `${bin}:/usr/bin:/bin`, HOME: root, MILLRACE_MODELS_DIR: join(root, 'models') });

interface Ended {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

function millrace(...args: string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const options = { env: environment(), cwd: root, timeout: TIMEOUT_MS };
    const child = execFile(process.execPath, [MAIN, 'models', ...args], options, (error, out, err) =>
      resolve({ status: error === null ? 0 : Number(error.code), out, err }),
    );
    child.stdin!.end();
  });
}

/** A program on the PATH that behaves as its text says. */
function program(name: string, text: string): void {
  writeFileSync(join(bin, name), `#!/bin/sh\n${text}\n`);
  chmodSync(join(bin, name), 0o755);
}

/** A folder as a model is downloaded into. */
function trained(name: string, files: Record<string, string> = {}): string {
  const folder = join(root, 'trained', name);
  mkdirSync(folder, { recursive: true });
  const all = { 'config.json': '{"architectures":["LlamaForCausalLM"]}', 'model.safetensors': 'weights', ...files };
  for (const [file, text] of Object.entries(all)) if (text !== '') writeFileSync(join(folder, file), text);
  return folder;
}

describe('millrace models, as a process', () => {
  it('adds, lists, shows, verifies and removes a model', async () => {
    const added = await millrace('add', DEMO, '--id', 'demo');
    expect(added).toEqual({
      status: 0,
      out: expect.stringContaining('demo is added: 5.3 MB, gguf, F16, chat.'),
      err: '',
    });
    expect((await millrace('list')).out).toMatch(/^MODEL +TASK .*\ndemo +chat +gguf +F16 +5.3 +apache-2.0 +here/);
    expect(JSON.parse((await millrace('show', 'demo', '--json')).out)).toMatchObject({
      id: 'demo',
      where: 'here',
      digest: DIGEST,
    });
    expect(await millrace('verify')).toMatchObject({ status: 0, out: 'demo: is what it was when it was added.\n' });
    expect((await millrace('remove', 'demo')).out).toBe(`demo is removed. Its file stays: ${DEMO}\n`);
    expect((await millrace('list')).out).toMatch(/^The registry in .* has no models\. Add one/);
  });

  it('lists what is here while the bucket is away, and says that it is', async () => {
    await millrace('add', DEMO, '--id', 'demo');
    const keys = ['--s3-access-key', 'k', '--s3-secret-key', 's'];
    const listed = await millrace('list', '--s3-url', 'http://127.0.0.1:9', '--s3-bucket', 'bucket', ...keys);
    expect(listed).toMatchObject({
      status: 0,
      out: expect.stringMatching(/\ndemo +chat/),
      err: expect.stringMatching(/^Models of the bucket are not listed: ./),
    });
  });

  it('lets no model say anything to the terminal', async () => {
    await millrace('add', DEMO, '--id', 'demo');
    const path = join(root, 'models/registry.json');
    writeFileSync(path, readFileSync(path, 'utf8').replace('"source": "', '"source": "\\u001b[2J'));
    for (const verb of [['list'], ['show', 'demo']]) {
      const { out } = await millrace(...verb);
      expect(out).toContain('�[2J');
      expect(out).not.toContain('\x1b');
    }
  });

  it.each([
    [['add', DEMO, '--id', '../../etc/passwd'], /"..\/..\/etc\/passwd" can't be the id of a model/],
    [['add', '/etc/passwd'], /is no GGUF file that can be run/],
    [['add'], /needs a SOURCE/],
    [['add', 'http://169.254.169.254/x.gguf'], /is an address of this machine.*--allow-private/],
    [['add', DEMO, '--sha256', 'x'], /--sha256 is "x"/],
    [['show', 'none'], /The model none is not in the registry/],
    [['push', 'none'], /Set s3Url/],
    [['list', 'more'], /takes nothing more/],
    [['lst'], /does not know "lst". Did you mean list\?/],
  ])('refuses %j in a sentence, with status 1', async (args, sentence) => {
    const ended = await millrace(...args);
    expect(ended).toMatchObject({ status: 1, out: '', err: expect.stringMatching(sentence) });
    expect(ended.err).not.toMatch(/\n +at /);
  });

  it('says what is wrong with a registry that somebody broke', async () => {
    mkdirSync(join(root, 'models'));
    writeFileSync(join(root, 'models/registry.json'), '{"version": 1,');
    expect(await millrace('list')).toMatchObject({
      status: 1,
      err: expect.stringMatching(/registry.json can't be used: it is no JSON/),
    });
  });
});

describe('millrace models add, from an address', () => {
  let server: Server;
  let answer: RequestListener;
  const asked: (string | undefined)[] = [];
  beforeEach(async () => {
    asked.length = 0;
    server = createServer((request, response) => {
      asked.push(request.headers.range);
      answer(request, response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  afterEach(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  it('goes on after Ctrl-C, from where it was', async () => {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/demo.gguf`;
    const headers = { etag: '"demo"', 'content-length': demo.length };
    answer = (_request, response) => void response.writeHead(200, headers).write(demo.subarray(0, 3_000_000));
    const child = spawn(process.execPath, [MAIN, 'models', 'add', url, '--allow-private'], {
      env: environment(),
      cwd: root,
    });
    let err = '';
    child.stderr.on('data', (text) => {
      err += text;
    });
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
    const part = join(root, 'models/demo/.incoming/demo.gguf.part');
    await expect.poll(() => existsSync(part) && readFileSync(part).length, { timeout: TIMEOUT_MS }).toBe(3_000_000);
    child.kill('SIGINT');
    expect(await ended).toBe(130);
    expect(err).toContain('Stopped. What was fetched so far is kept');
    answer = (request, response) => {
      const from = Number(/\d+/.exec(request.headers.range ?? '')?.[0] ?? 0);
      const range = `bytes ${from}-${demo.length - 1}/${demo.length}`;
      response.writeHead(206, { etag: '"demo"', 'content-range': range, 'content-length': demo.length - from });
      response.end(demo.subarray(from));
    };
    expect(await millrace('add', url, '--allow-private')).toMatchObject({
      status: 0,
      out: expect.stringContaining(DIGEST),
    });
    expect(asked).toEqual([undefined, 'bytes=3000000-']);
    expect(readdirSync(join(root, 'models/demo'))).toEqual(['demo.gguf']);
  });
});

describe('millrace models convert', () => {
  const writesModel = `cp ${DEMO} "$3" && echo converted`;
  const bytes = (path: string) => readFileSync(path).length;

  it('says what to install where there is no converter, and touches nothing', async () => {
    const folder = trained('A');
    const ended = await millrace('convert', folder);
    expect(ended).toMatchObject({
      status: 1,
      err: expect.stringMatching(/No converter is on the PATH.*llama.cpp.*optimum-intel/),
    });
    expect(readdirSync(folder).sort()).toEqual(['config.json', 'model.safetensors']);
    program('convert_hf_to_gguf.py', writesModel);
    expect((await millrace('convert', folder, '--quantize', 'Q4_K_M')).err).toMatch(
      /needs llama.cpp’s llama-quantize on the PATH/,
    );
    expect((await millrace('convert', folder, '--to', 'openvino')).err).toMatch(
      /pip install "optimum-intel\[openvino\]"/,
    );
  });

  it('converts all models of a folder, each under a name of its own, and skips what is incomplete', async () => {
    program('convert_hf_to_gguf.py', writesModel);
    program('llama-quantize', 'cp "$1" "$2" && echo "$3" > "$2.type"');
    await millrace('add', DEMO, '--id', 'tiny-model');
    const folder = trained('Tiny Model');
    trained('owner/TINY-model');
    trained('half', { 'model.safetensors.index.json': '{"weight_map":{"a":"model-00001-of-00002.safetensors"}}' });
    trained('bare', { 'model.safetensors': '' });
    const ended = await millrace('convert', join(root, 'trained'), '--all', '--quantize', 'Q4_K_M');
    expect(ended.status).toBe(0);
    expect(ended.err).toMatch(
      /half is skipped: of its 1 files of weights 1 are not there, such as model-00001-of-00002/,
    );
    expect(ended.err).toMatch(/bare is skipped: it has no weights/);
    expect(readdirSync(folder).sort()).toEqual(['conversion.json', 'original', 'tiny-model-2.gguf']);
    expect(readdirSync(join(folder, 'original')).sort()).toEqual(['config.json', 'model.safetensors']);
    expect(JSON.parse(readFileSync(join(folder, 'conversion.json'), 'utf8'))).toMatchObject({
      ...{
        name: 'tiny-model-2',
        paths: { result: 'tiny-model-2.gguf', originals: 'original' },
        task: 'chat',
        weight_format: 'Q4_K_M',
      },
    });
    const listed = JSON.parse((await millrace('list', '--json')).out) as { id: string; quantisation: string }[];
    expect(listed.map(({ id }) => id)).toEqual(['tiny-model', 'tiny-model-2', 'tiny-model-3']);
    expect(listed[1]!.quantisation).toBe('Q4_K_M');
    const again = await millrace('convert', join(root, 'trained'), '--all');
    expect(again).toMatchObject({
      status: 0,
      err: expect.stringMatching(/Tiny Model is skipped: it was converted before/),
    });
  });

  it('drives OpenVINO’s converter, and adds the folder that it makes', async () => {
    program(
      'optimum-cli',
      'for out; do :; done; mkdir -p "$out"; echo "$@" > "$out/args.txt"; echo x > "$out/openvino_model.xml"',
    );
    const folder = trained('B');
    expect(await millrace('convert', folder, '--quantize', 'int4')).toMatchObject({ status: 0 });
    expect(readFileSync(join(folder, 'openvino/args.txt'), 'utf8')).toMatch(
      /^export openvino --model .*B --task text-generation-with-past --weight-format int4/,
    );
    expect(JSON.parse((await millrace('show', 'b', '--json')).out)).toMatchObject({
      format: 'openvino',
      quantisation: 'int4',
    });
  });

  it('tells what a converter said that fails, or that writes no model, and leaves the originals where they are', async () => {
    const folder = trained('C');
    program('convert_hf_to_gguf.py', 'echo "Model LlamaForCausalLM is not supported" >&2; exit 2');
    const failed = await millrace('convert', folder);
    expect(failed).toMatchObject({
      status: 1,
      err: expect.stringMatching(/failed \(status 2\). It said last:\nModel LlamaForCausalLM is not supported/),
    });
    program('convert_hf_to_gguf.py', 'echo "no model" > "$3"');
    expect(await millrace('convert', folder)).toMatchObject({
      status: 1,
      err: expect.stringMatching(/is no GGUF file/),
    });
    expect(readdirSync(folder).sort()).toEqual(['config.json', 'model.safetensors']);
    expect(bytes(join(folder, 'model.safetensors'))).toBe(7);
  });

  it('ends a converter that hangs, and all that it has started, on Ctrl-C', async () => {
    const folder = trained('D');
    program('convert_hf_to_gguf.py', `sleep 600 & echo $! > ${root}/pid; wait`);
    const child = spawn(process.execPath, [MAIN, 'models', 'convert', folder], {
      env: environment(),
      cwd: root,
      stdio: 'ignore',
    });
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
    const pidFile = join(root, 'pid');
    await expect
      .poll(() => existsSync(pidFile) && readFileSync(pidFile, 'utf8').trim() !== '', { timeout: TIMEOUT_MS })
      .toBe(true);
    child.kill('SIGINT');
    expect(await ended).toBe(130);
    const pid = Number(readFileSync(pidFile, 'utf8'));
    await expect.poll(() => lives(pid)).toBe(false);
    expect(readdirSync(folder).sort()).toEqual(['config.json', 'model.safetensors']);
  });
});

function lives(pid: number): boolean {
  try {
    // One that nobody has waited for yet is dead all the same.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
