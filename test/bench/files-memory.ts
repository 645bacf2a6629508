/**
 * How much memory the gateway takes while a large file goes in and out: in one piece, in parts, and back, by a folder and by an S3 server (that of
 * TEST_S3_URL, else one of the tests' own). Prints idle, peak and what that is more than at the start; exit status 1 where it is more than is promised.
 *
 *   node test/bench/files-memory.ts [--stores folder,s3] [--mib 2048] [--times 2]
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { Agent, type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { bucketOfItsOwn } from '../../libs/storage/src/adapters/bucket.testing.ts';
import { ROOT } from '../e2e/stack.ts';
import { RealS3 } from '../services/real-s3.ts';
import { type Program, Stage, startGateway } from './programs.ts';

const MIB = 1024 * 1024;
/** What the project promises. */
const GROWTH_MIB_MAX = 200;
const PART_BYTES = 64 * MIB;
/** For what was collected last to be given back. */
const REST_MS = 1_000;
const BLOCK = Buffer.from(Array.from({ length: MIB }, (_, index) => (index * 31 + (index >> 8)) & 255));

const { values } = parseArgs({
  options: {
    stores: { type: 'string', default: 'folder,s3' },
    mib: { type: 'string', default: '2048' },
    times: { type: 'string', default: '2' },
  },
});
const fileMib = Number(values.mib);
const agent = new Agent({ keepAlive: true });
let isBroken = false;

for (const store of values.stores.split(',')) {
  await using stage = new Stage();
  await measure(store, await prepare(stage, store));
}
agent.destroy();
if (isBroken) process.exitCode = 1;

function tell(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function prepare(stage: Stage, store: string): Promise<Program> {
  const gateway = await startGateway(stage, {
    dataFolder: stage.folder('files-memory'),
    modelsFile: join(ROOT, 'configs/models.yaml'),
    args: ['--ready-without-workers', `--file-bytes-max=${fileMib * MIB}`],
    environment: store === 's3' ? await bucket(stage) : {},
  });
  // The database has its tables, and everything is loaded that is loaded at the first use.
  const first = await send(gateway, '/v1/files', 'file', 1);
  await download(gateway, (JSON.parse(first) as { id: string }).id, MIB);
  return gateway;
}

async function bucket(stage: Stage): Promise<NodeJS.ProcessEnv> {
  const settings = await bucketOfItsOwn(process.env.TEST_S3_URL ?? (await ownServer(stage)));
  const named = Object.entries(settings).map(([name, value]) => [
    `MILLRACE_${name.replace(/([A-Z])/g, '_$1').toUpperCase()}`,
    String(value),
  ]);
  return Object.fromEntries(named);
}

async function ownServer(stage: Stage): Promise<string> {
  const s3 = await RealS3.start(tell);
  stage.add(() => s3.end());
  return s3.url;
}

async function measure(store: string, gateway: Program): Promise<void> {
  const label = store === 's3' ? 'S3' : 'folder';
  await sleep(REST_MS);
  const freshMib = memoryMib(gateway, 'VmRSS');
  tell(`${label}: ${freshMib} MiB at the start`);
  for (let time = 0; time < Number(values.times); time++) {
    let id = '';
    await watched(gateway, freshMib, `${label}: upload in one piece`, async () => {
      ({ id } = JSON.parse(await send(gateway, '/v1/files', 'file', fileMib)));
    });
    await watched(gateway, freshMib, `${label}: download`, () => download(gateway, id, fileMib * MIB));
    await ask(gateway, 'DELETE', `/v1/files/${id}`);
    await watched(gateway, freshMib, `${label}: upload in parts`, async () => {
      id = await sendParts(gateway);
    });
    await ask(gateway, 'DELETE', `/v1/files/${id}`);
  }
}

async function watched(gateway: Program, freshMib: number, what: string, work: () => Promise<void>): Promise<void> {
  await sleep(REST_MS);
  const idle = memoryMib(gateway, 'VmRSS');
  // Linux: what was the most until now is forgotten.
  writeFileSync(`/proc/${gateway.pid}/clear_refs`, '5');
  const beganMs = performance.now();
  await work();
  const [peak, seconds] = [memoryMib(gateway, 'VmHWM'), (performance.now() - beganMs) / 1_000];
  isBroken ||= peak - freshMib > GROWTH_MIB_MAX;
  const figures = `idle ${idle} MiB, peak ${peak} MiB, ${peak - freshMib} more than at the start; ${Math.round(fileMib / seconds)} MiB/s`;
  tell(`${what}, ${fileMib} MiB: ${figures}`);
}

function memoryMib({ pid }: Program, field: string): number {
  const [, kib] = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Math.round(Number(kib) / 1024);
}

async function sendParts(gateway: Program): Promise<string> {
  const bytes = fileMib * MIB;
  const asked = { bytes, filename: 'large.bin', mime_type: 'application/octet-stream', purpose: 'user_data' };
  const { id } = JSON.parse(await ask(gateway, 'POST', '/v1/uploads', asked)) as { id: string };
  const ids: string[] = [];
  for (let left = bytes; left > 0; left -= PART_BYTES) {
    const part = await send(gateway, `/v1/uploads/${id}/parts`, 'data', Math.min(left, PART_BYTES) / MIB);
    ids.push((JSON.parse(part) as { id: string }).id);
  }
  const completed = await ask(gateway, 'POST', `/v1/uploads/${id}/complete`, { part_ids: ids });
  return (JSON.parse(completed) as { file: { id: string } }).file.id;
}

/** A form with so many mebibytes in it, no faster than it is taken. */
async function send(gateway: Program, path: string, name: string, mib: number): Promise<string> {
  const head = Buffer.from(
    `--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n--b\r\ncontent-disposition: form-data; name="${name}"; filename="large.bin"\r\n\r\n`,
  );
  const tail = Buffer.from('\r\n--b--\r\n');
  const headers = {
    'content-type': 'multipart/form-data; boundary=b',
    'content-length': head.length + mib * MIB + tail.length,
  };
  const sent = request(`${gateway.url}${path}`, { method: 'POST', headers, agent });
  const answered = once(sent, 'response') as Promise<[IncomingMessage]>;
  sent.write(head);
  for (let block = 0; block < mib; block++) if (!sent.write(BLOCK)) await once(sent, 'drain');
  sent.end(tail);
  return textOf((await answered)[0]);
}

async function ask(gateway: Program, method: string, path: string, body?: object): Promise<string> {
  const headers = body === undefined ? {} : { 'content-type': 'application/json' };
  const sent = request(`${gateway.url}${path}`, { method, headers, agent });
  const answered = once(sent, 'response') as Promise<[IncomingMessage]>;
  sent.end(body && JSON.stringify(body));
  return textOf((await answered)[0]);
}

async function textOf(response: IncomingMessage): Promise<string> {
  let text = '';
  for await (const piece of response.setEncoding('utf8')) text += piece;
  if (response.statusCode === 200) return text;
  throw new Error(`It answered ${response.statusCode}: ${text}`);
}

async function download(gateway: Program, id: string, bytes: number): Promise<void> {
  const sent = request(`${gateway.url}/v1/files/${id}/content`, { agent }).end();
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  const hash = createHash('sha256');
  let came = 0;
  for await (const piece of response as AsyncIterable<Buffer>) {
    came += piece.length;
    hash.update(piece);
  }
  const isSame = response.headers.etag === `"${hash.digest('hex')}"`;
  if (came !== bytes || !isSame)
    throw new Error(`${came} of ${bytes} bytes came back, ${isSame ? '' : 'not '}as they were.`);
}
