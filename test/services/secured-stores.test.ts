import { createLogger, WatchedTls } from '@millrace/runtime';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { PostgresDatabase } from '../../apps/gateway/src/stores/adapters/postgres-database.js';
import { RedisConnection } from '../../apps/gateway/src/stores/adapters/redis-connection.js';
import { CertificateFolder, type Pair, TestAuthority } from '../../libs/runtime/src/certificates.testing.js';
import { type BucketSettings, bucketOfItsOwn } from '../../libs/storage/src/adapters/bucket.testing.js';
import { openObjectStore } from '../../libs/storage/src/open-object-store.js';
import { RealPostgres } from './real-postgres.ts';
import { RealRedis } from './real-redis.ts';
import { RealS3 } from './real-s3.ts';

const wanted = process.env.TEST_REDIS_URL !== undefined && process.env.TEST_POSTGRES_URL !== undefined;
const logger = createLogger({ name: 'test', level: 'silent', format: 'json' });
const HOUR_MS = 3_600_000;

let [authority, stranger]: TestAuthority[] = [];
let server: Pair;
let folder: CertificateFolder;
const closing: { close(): unknown }[] = [];

function closed<T extends { close(): unknown }>(one: T): T {
  closing.push(one);
  return one;
}

beforeAll(async () => {
  folder = new CertificateFolder();
  [authority, stranger] = [await TestAuthority.make('ours'), await TestAuthority.make('theirs')];
  server = await authority.sign('store');
});
afterAll(() => folder?.[Symbol.dispose]());
afterEach(async () => {
  await Promise.all(closing.splice(0).map((one) => one.close()));
});

let files = 0;
/** By an authority, and with a certificate to show where one is given. */
async function knowing(group: string, trusted: TestAuthority, own?: Pair): Promise<WatchedTls> {
  files++;
  const pair = own === undefined ? {} : folder.writePair(`own-${files}`, own);
  const caFile = folder.write(`ca-${files}.pem`, trusted.cert);
  return closed(await WatchedTls.open({ group, ...pair, caFile }, logger, { checkMs: 20 }));
}

describe.skipIf(!wanted)(
  'a Redis that speaks TLS (TEST_REDIS_URL or TEST_POSTGRES_URL is not set: `make test-services`)',
  { timeout: 60_000 },
  () => {
    let redis: RealRedis;
    const connect = (tls: WatchedTls | undefined, host = '127.0.0.1', port = redis.tlsPort) =>
      closed(new RedisConnection({ url: `rediss://${host}:${port}/0`, timeoutMs: 2_000, tls }, logger));
    const there = async (connection: RedisConnection) => {
      await connection.ready(5_000);
      expect(connection.trouble).toBeUndefined();
      expect(await connection.client.ping()).toBe('PONG');
    };
    const away = (connection: RedisConnection, why: string) =>
      expect.poll(() => connection.trouble, { timeout: 8_000 }).toContain(`can't be reached (${why}`);

    beforeAll(async () => {
      redis = await RealRedis.start({ ...server, ca: authority!.cert, demandsCertificates: true });
    });
    afterAll(() => redis?.end());

    it('is reached by number and by name, with a certificate that it knows', async () => {
      const tls = await knowing('redisTls', authority!, await authority!.sign('gateway'));
      await there(connect(tls));
      await there(connect(tls, 'localhost'));
    });

    it('is reached again with what is in the files by then', async () => {
      const tls = await knowing('redisTls', stranger!, await authority!.sign('gateway'));
      const connection = connect(tls);
      await away(connection, 'its certificate is of another authority than redisTls.caFile holds');
      folder.write(`ca-${files}.pem`, authority!.cert);
      await expect.poll(() => connection.trouble, { timeout: 8_000 }).toBeUndefined();
      await there(connection);
    });

    it('is not believed without an authority that is known', async () => {
      await away(connect(undefined), 'its certificate is of another authority than redisTls.caFile holds');
    });

    it('refuses who shows no certificate, or an expired one, which is said', async () => {
      await away(connect(await knowing('redisTls', authority!)), 'it demands a certificate, and was shown none');
      const expired = await authority!.sign('gateway', { toMs: -HOUR_MS });
      await away(
        connect(await knowing('redisTls', authority!, expired)),
        'it refuses the certificate of redisTls.certFile, which has expired',
      );
    });

    it('is not taken for one that speaks plain text', async () => {
      const tls = await knowing('redisTls', authority!, await authority!.sign('gateway'));
      const connection = connect(tls, '127.0.0.1', redis.port);
      await expect.poll(() => connection.trouble, { timeout: 8_000 }).toContain("can't be reached");
      expect(connection.client.status).not.toBe('ready');
    });
  },
);

describe.skipIf(!wanted)(
  'a Postgres that speaks TLS (TEST_REDIS_URL or TEST_POSTGRES_URL is not set: `make test-services`)',
  { timeout: 90_000 },
  () => {
    let postgres: RealPostgres;
    const open = (tls: WatchedTls | undefined, query = '', host = '127.0.0.1') => {
      const url = postgres.url.replace('127.0.0.1', host) + query;
      return closed(new PostgresDatabase({ url, connectionsMax: 2, timeoutMs: 3_000, tls }, logger));
    };
    const encrypted = 'select ssl from pg_stat_ssl where pid = pg_backend_pid()';
    const away = async (database: PostgresDatabase, why: string) => {
      await expect(database.query('select 1')).rejects.toThrow(why);
      expect(database.trouble).toContain(why);
      expect(database.trouble).not.toContain(new URL(postgres.url).password);
    };

    beforeAll(async () => {
      postgres = await RealPostgres.start({ ...server, ca: authority!.cert, demandsCertificates: true });
    });
    afterAll(() => postgres?.end());

    it('is asked in encrypted words, by number and by name, whatever sslmode says beside', async () => {
      const tls = await knowing('postgresTls', authority!, await authority!.sign('gateway'));
      for (const database of [open(tls), open(tls, '?sslmode=require'), open(tls, '?application_name=x', 'localhost')])
        expect(await database.query(encrypted)).toEqual([{ ssl: true }]);
    });

    it('is asked in plain words where nobody said otherwise', async () => {
      expect(await open(undefined).query(encrypted)).toEqual([{ ssl: false }]);
    });

    it('is asked again with what is in the files by then', async () => {
      const tls = await knowing('postgresTls', stranger!, await authority!.sign('gateway'));
      const database = open(tls);
      await away(database, 'its certificate is of another authority than postgresTls.caFile holds');
      folder.write(`ca-${files}.pem`, authority!.cert);
      await expect.poll(() => database.query(encrypted).catch(String), { timeout: 8_000 }).toEqual([{ ssl: true }]);
      expect(database.trouble).toBeUndefined();
    });

    it('is not believed where only sslmode asks for TLS, and its authority is not known', async () => {
      await away(
        open(undefined, '?sslmode=verify-full'),
        'its certificate is of another authority than postgresTls.caFile holds',
      );
    });

    it('refuses who shows no certificate, or one of another authority, which is said', async () => {
      const none = open(await knowing('postgresTls', authority!));
      await expect(none.query('select 1')).rejects.toThrow(/certificate/);
      const others = open(await knowing('postgresTls', authority!, await stranger!.sign('gateway')));
      await expect(others.query('select 1')).rejects.toThrow('can not be asked');
    });
  },
);

describe.skipIf(process.env.TEST_S3_URL === undefined || process.env.TEST_S3_SERVER === 's3rver')(
  'an S3 server that speaks TLS (TEST_S3_URL is not set, or its server can’t: `make test-services`)',
  { timeout: 60_000 },
  () => {
    const NEVER = new AbortController().signal;
    let s3: RealS3;
    let settings: BucketSettings;
    const open = async (tls: WatchedTls | undefined, changes: Partial<BucketSettings> = {}) =>
      closed(await openObjectStore({ ...settings, s3SilenceMsMax: 3_000, ...changes }, 'files', '', tls));
    type Store = Awaited<ReturnType<typeof open>>;
    const away = async (store: Store, why: string) => {
      await expect(store.stat('a', NEVER)).rejects.toThrow(why);
      expect(store.trouble).toContain(why);
      expect(store.trouble).not.toContain(settings.s3SecretKey);
    };
    const works = async (store: Store) => {
      async function* content() {
        for (let piece = 0; piece < 20; piece++) yield Buffer.alloc(1024 * 1024, piece);
      }
      // In parts, and as a whole.
      expect(await store.put('a', content(), NEVER)).toMatchObject({ bytes: 20 * 1024 * 1024 });
      await using opened = await store.open('a', NEVER, { from: 7 * 1024 * 1024, bytes: 1 });
      for await (const piece of opened!.content) expect([...piece]).toEqual([7]);
    };

    beforeAll(async () => {
      s3 = await RealS3.start(() => {}, { ...server, ca: authority!.cert });
      settings = await bucketOfItsOwn(s3.url, authority!.cert);
    });
    afterAll(() => s3?.end());

    it('is used by number and by name, with an authority that is known', async () => {
      const tls = await knowing('s3Tls', authority!);
      await works(await open(tls));
      await works(await open(tls, { s3Url: settings.s3Url.replace('127.0.0.1', 'localhost') }));
    });

    it('is used again with what is in the file by then', async () => {
      const store = await open(await knowing('s3Tls', stranger!));
      await away(store, 'its certificate is of another authority than s3Tls.caFile holds');
      folder.write(`ca-${files}.pem`, authority!.cert);
      await expect.poll(() => store.stat('a', NEVER).then(() => 'there', String), { timeout: 8_000 }).toBe('there');
      expect(store.trouble).toBeUndefined();
    });

    it('is not believed without an authority that is known', async () => {
      await away(await open(undefined), 'its certificate is of another authority than s3Tls.caFile holds');
    });

    it('is not taken for one that speaks plain text, nor the other way round', async () => {
      const plain = process.env.TEST_S3_URL!;
      const tls = await knowing('s3Tls', authority!);
      await away(await open(tls, { s3Url: `https://${new URL(plain).host}` }), 'it speaks no TLS');
      await away(await open(undefined, { s3Url: settings.s3Url.replace('https', 'http') }), "can't be used");
    });
  },
);
