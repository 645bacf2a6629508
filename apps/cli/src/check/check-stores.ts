import { connect, type NetConnectOpts } from 'node:net';
import { connect as connectWithTls } from 'node:tls';
import type { ReadyzBody, Settings } from '@millrace/contracts';
import {
  ConfigurationError,
  forgettingPolicy,
  readTlsFiles,
  type TlsContents,
  TlsProblem,
  tlsFailure,
} from '@millrace/runtime';
import { ObjectStoreUnavailable, openObjectStore } from '@millrace/storage';
import { type Finding, fine, wrong } from './finding.js';

/** For the connection and the first answer together. */
const ANSWER_TIMEOUT_MS = 3_000;
/** Of what listens there, whatever it is. */
const ANSWER_BYTES_MAX = 4_096;

type Degraded = NonNullable<ReadyzBody['degraded']>[number];
type BucketSettings = Pick<
  Settings,
  's3Url' | 's3Bucket' | 's3Prefix' | 's3Region' | 's3AccessKey' | 's3SecretKey' | 's3SilenceMsMax'
>;
type StoreSettings = Pick<Settings, 'redisUrl' | 'postgresUrl' | 'dataFolder'> &
  BucketSettings &
  Partial<
    Pick<Settings, 'queueRedisUrl' | 'redisTls.caFile' | 'redisTls.certFile' | 'redisTls.keyFile' | 's3Tls.caFile'>
  >;

/** Redis, Postgres and the S3 server as a running gateway finds them; without one, whether they answer from here. Never says a password. */
export async function checkStores(settings: StoreSettings, gateway: ReadyzBody | undefined): Promise<Finding[]> {
  if (gateway !== undefined) return missedBy(gateway);
  const [queue, ...others] = await Promise.all([
    checkQueueRedis(settings),
    checkRedis(settings),
    checkDatabase(settings),
    checkObjects(settings),
  ]);
  return [...others, ...queue];
}

function missedBy({ degraded = [] }: ReadyzBody): Finding[] {
  if (degraded.length === 0) return [fine('stores', 'the gateway misses none of what it was given')];
  return degraded.map(({ part, detail }) => wrong(part, detail, REMEDIES[part]));
}

const REMEDIES: Readonly<Record<Degraded['part'], string>> = {
  redis: 'Start it, or correct the `redisUrl` of the gateway.',
  database: 'Start it, or correct the `postgresUrl` of the gateway; its log says more.',
  vectors: 'Start it, or correct the `qdrantUrl` of the gateway.',
  objects:
    'Start the S3 server, or correct the `s3…` settings of the gateway; without one, look at the disk of `dataFolder`.',
  jobs: 'Start it, or correct the `queueRedisUrl` or `redisUrl` of the gateway; batches go on once it is back.',
  queue: 'Start the Redis of the queues, or correct its settings; docs/how-to/queue.md says how.',
  keys: 'See the log of the gateway.',
  models_file: 'Mend the models file; until then its last good version is in force.',
  providers: 'Correct the key or the address; docs/how-to/providers.md says how.',
  workers: 'Correct the settings by which the gateway finds its workers; docs/concepts/routing.md has them.',
  tls: 'Renew the certificate; docs/how-to/tls.md says how.',
  records: 'Look at the database, and at the disk of `dataFolder`; nothing is lost until the spool is full.',
};

async function checkRedis(settings: StoreSettings): Promise<Finding> {
  const { redisUrl } = settings;
  if (redisUrl === undefined) return fine('redis', 'none: each gateway counts limits by itself');
  const answer = await askRedis({ about: 'redis', setting: 'redisUrl', address: redisUrl }, settings);
  return 'ok' in answer ? answer : fine('redis', `${answer.host} answers`);
}

/** Where queues have no Redis of their own there is nothing to say. */
async function checkQueueRedis(settings: StoreSettings): Promise<Finding[]> {
  const { queueRedisUrl } = settings;
  if (queueRedisUrl === undefined) return [];
  const named = { about: 'queue', setting: 'queueRedisUrl', address: queueRedisUrl };
  const answer = await askRedis(named, settings, ['INFO', 'memory']);
  if ('ok' in answer) return [answer];
  // It may not tell this user, and then a gateway is not told either.
  const policy = forgettingPolicy(answer.said);
  if (policy === undefined) return [fine('queue', `${answer.host} answers`)];
  const detail = `${answer.host} forgets keys when it is full (maxmemory-policy ${policy}), and jobs with them.`;
  return [wrong('queue', detail, 'Give it `maxmemory-policy noeviction`, or correct `queueRedisUrl`.')];
}

interface NamedRedis {
  readonly about: string;
  readonly setting: string;
  readonly address: string;
}

interface RedisAnswer {
  readonly host: string;
  /** To the question. */
  readonly said: string;
}

/** @returns what is wrong, or what it said. */
async function askRedis(
  { about, setting, address }: NamedRedis,
  settings: StoreSettings,
  question: readonly string[] = [],
): Promise<Finding | RedisAnswer> {
  const url = urlOf(address, ['redis:', 'rediss:']);
  if (url === undefined || url.hostname === '') {
    return wrong(about, `\`${setting}\` is not an address of Redis.`, 'Write redis://user:password@host:6379/0.');
  }
  const [user, password] = [url.username, url.password].map(decoded) as [string, string];
  const greeting = password === '' ? [] : [['AUTH', ...(user === '' ? [] : [user]), password]];
  greeting.push(['PING']);
  const tls = url.protocol === 'rediss:' ? await filesOfRedis(settings) : undefined;
  if (tls instanceof TlsProblem) return wrong(about, tls.message, 'See docs/how-to/tls.md.');
  const asked = question.length === 0 ? greeting : [...greeting, question];
  const answer = await firstAnswer(
    { host: hostOf(url), port: Number(url.port || 6_379) },
    tls,
    Buffer.from(asked.map(resp).join('')),
    (text) => !text.startsWith('+') || isWhole(afterLines(text, greeting.length), question),
  );
  const problem = answer.problem ?? redisProblem(answer.text.split('\r\n').slice(0, greeting.length), password);
  if (problem !== undefined) return outcome(about, url.host, problem, `\`${setting}\``);
  return { host: url.host, said: afterLines(answer.text, greeting.length) ?? '' };
}

/** What comes after so many replies of a line each; undefined: not all of them are there. */
function afterLines(text: string, lines: number): string | undefined {
  const parts = text.split('\r\n');
  return parts.length > lines ? parts.slice(lines).join('\r\n') : undefined;
}

/** A text has its length before it; a refusal is a line. */
function isWhole(said: string | undefined, question: readonly string[]): boolean {
  if (said === undefined || question.length === 0) return said !== undefined;
  const end = said.indexOf('\r\n');
  const bytes = said.startsWith('$') ? Number(said.slice(1, end)) : 0;
  return end >= 0 && !(said.length < end + 2 + bytes);
}

async function filesOfRedis(settings: StoreSettings): Promise<TlsContents | TlsProblem> {
  const { 'redisTls.caFile': caFile, 'redisTls.certFile': certFile, 'redisTls.keyFile': keyFile } = settings;
  try {
    return await readTlsFiles({ group: 'redisTls', caFile, certFile, keyFile });
  } catch (error) {
    if (error instanceof TlsProblem) return error;
    throw error;
  }
}

function redisProblem(lines: readonly string[], password: string): string | undefined {
  const refusal = lines.find((line) => line.startsWith('-'));
  // Some servers quote what they were told.
  const said = password === '' ? refusal : refusal?.replaceAll(password, '***');
  if (said !== undefined) return `refuses: ${said.slice(1)}`;
  return lines[0]?.startsWith('+') ? undefined : 'is no Redis: it answers otherwise than one.';
}

async function checkDatabase({ postgresUrl, dataFolder }: StoreSettings): Promise<Finding> {
  if (postgresUrl === undefined) return fine('database', `the embedded one, in ${dataFolder}: for one gateway alone`);
  const url = urlOf(postgresUrl, ['postgres:', 'postgresql:']);
  if (url === undefined) {
    const remedy = 'Write postgres://user:password@host:5432/name.';
    return wrong('database', '`postgresUrl` is no URL of a Postgres.', remedy);
  }
  const port = Number(url.port || url.searchParams.get('port') || 5_432);
  const host = url.searchParams.get('host') ?? (hostOf(url) || 'localhost');
  const where = host.startsWith('/') ? { path: `${decoded(host)}/.s.PGSQL.${port}` } : { host, port };
  const answer = await firstAnswer(where, undefined, SSL_REQUEST, (text) => text !== '');
  const problem = answer.problem ?? postgresProblem(answer.text);
  return outcome('database', 'path' in where ? where.path : `${host}:${port}`, problem, '`postgresUrl`');
}

/** Asks whether the server would encrypt; every Postgres answers S or N, before it asks who is there. */
const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]);

function postgresProblem(text: string): string | undefined {
  return text === 'S' || text === 'N' ? undefined : 'is no Postgres: it answers otherwise than one.';
}

/** A key that nobody has: whoever may read the bucket is told that it is not there. */
const NO_KEY = 'millrace-check';

async function checkObjects(settings: StoreSettings): Promise<Finding> {
  const { s3Url, s3Bucket, dataFolder, s3SilenceMsMax } = settings;
  if (s3Url === undefined) return fine('objects', `files are in ${dataFolder}: for gateways of one machine`);
  const remedy = 'Without it, files are neither kept nor read; docs/how-to/object-store.md has the `s3…` settings.';
  try {
    const tls = await readTlsFiles({ group: 's3Tls', caFile: settings['s3Tls.caFile'] });
    const patience = { s3SilenceMsMax: Math.min(s3SilenceMsMax, ANSWER_TIMEOUT_MS) };
    const store = await openObjectStore({ ...settings, ...patience }, 'files', '', { current: tls });
    try {
      await store.stat(NO_KEY, new AbortController().signal);
    } finally {
      await store.close();
    }
    const left = '; whether it may be written to, a gateway finds out';
    return fine('objects', `the bucket ${s3Bucket} of ${new URL(s3Url).host} answers${left}`);
  } catch (error) {
    const isForeseen =
      error instanceof ObjectStoreUnavailable || error instanceof ConfigurationError || error instanceof TlsProblem;
    if (!isForeseen) throw error;
    return wrong('objects', error.message, remedy);
  }
}

function outcome(about: string, address: string, problem: string | undefined, setting: string): Finding {
  if (problem !== undefined) return wrong(about, `${address} ${problem}`, `Start it, or correct ${setting}.`);
  const left = about === 'database' ? '; whether user and password are right, a gateway finds out' : '';
  return fine(about, `${address} answers${left}`);
}

/** What a server says first to `hello`, or why it says nothing. */
function firstAnswer(
  where: NetConnectOpts & { host?: string },
  tls: TlsContents | undefined,
  hello: Buffer,
  isWhole: (text: string) => boolean,
): Promise<{ readonly text: string; readonly problem?: string }> {
  return new Promise((resolve) => {
    const { ca, cert, key } = tls ?? {};
    const socket = tls ? connectWithTls({ ...where, ...serverName(where.host), ca, cert, key }) : connect(where);
    let text = '';
    const end = (problem?: string) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(problem === undefined || text !== '' ? { text } : { text, problem });
    };
    const timer = setTimeout(
      () => end(`does not answer within ${ANSWER_TIMEOUT_MS.toLocaleString('en-US')} ms.`),
      ANSWER_TIMEOUT_MS,
    );
    socket.once(tls ? 'secureConnect' : 'connect', () => socket.write(hello));
    socket.on('data', (data: Buffer) => {
      text += data.toString('latin1');
      if (isWhole(text) || text.length > ANSWER_BYTES_MAX) end();
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      const untrusted = tls && tlsFailure(error.message, 'redisTls');
      end(`can't be reached (${untrusted ?? error.code ?? error.message}).`);
    });
    socket.once('close', () => end('closes the connection without a word.'));
  });
}

/** Certificates are for names; Node refuses addresses as such. */
function serverName(host = ''): { readonly servername?: string } {
  return /^[\d.]+$|:/.test(host) ? {} : { servername: host };
}

/** As Redis reads commands: with lengths, so that a password may hold anything. */
function resp(words: readonly string[]): string {
  return `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`;
}

function urlOf(text: string, protocols: readonly string[]): URL | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  return url !== undefined && protocols.includes(url.protocol) ? url : undefined;
}

function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[(.*)\]$/, '$1');
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
