import { ConfigurationError } from '@millrace/runtime';
import { FolderObjectStore } from './adapters/folder-object-store.js';
import { checkKey, type ObjectStore } from './object-store.js';

/** The settings of the same names. */
export interface ObjectStoreSettings {
  readonly s3Url: string | undefined;
  readonly s3Bucket: string | undefined;
  readonly s3Prefix: string;
  readonly s3Region: string;
  readonly s3AccessKey: string | undefined;
  readonly s3SecretKey: string | undefined;
  readonly s3SilenceMsMax: number;
}

/** The authorities to believe, as they are by now; without any, those that Node believes. */
export interface Trust {
  readonly current: { readonly ca: Buffer | undefined };
}

/**
 * The bucket of the settings, or where they name none the folder. Asks nobody: a server that is away keeps nothing from starting.
 *
 * @param use what is kept there; in a bucket each use has a folder of its own. Or a prefix, where others decide what is in the bucket.
 * @throws ConfigurationError when the URL or the prefix can't be used.
 */
export async function openObjectStore(
  settings: ObjectStoreSettings,
  use: 'files' | 'models' | { readonly prefix: string },
  folder: string,
  tls: Trust | undefined,
): Promise<ObjectStore> {
  const { s3Url, s3Bucket, s3AccessKey, s3SecretKey, s3Prefix, s3Region, s3SilenceMsMax } = settings;
  if (s3Url === undefined) return new FolderObjectStore(folder);
  const prefix = typeof use === 'string' ? `${s3Prefix.replace(/\/+$/, '')}/${use}` : use.prefix.replace(/\/+$/, '');
  checkSetting(prefix);
  // Loaded for those who have one: minio's client brings much with it that every start would pay for.
  const { S3ObjectStore } = await import('./adapters/s3-object-store.js');
  return new S3ObjectStore({
    url: serverOf(s3Url),
    // These are there: `contradictionsIn` has seen to it.
    bucket: s3Bucket!,
    accessKey: s3AccessKey!,
    secretKey: s3SecretKey!,
    prefix: `${prefix}/`,
    region: s3Region,
    silenceMsMax: s3SilenceMsMax,
    ...(tls !== undefined && { trust: () => tls.current.ca }),
  });
}

function serverOf(url: string): URL {
  const server = URL.parse(url);
  const isServer =
    server !== null &&
    /^https?:$/.test(server.protocol) &&
    server.pathname === '/' &&
    `${server.search}${server.hash}${server.username}${server.password}` === '';
  if (isServer) return server;
  throw new ConfigurationError([
    's3Url is not an address of an S3 server. Write https://host:9000, without a path; the bucket goes into s3Bucket, the keys into s3AccessKey and s3SecretKey.',
  ]);
}

function checkSetting(prefix: string): void {
  try {
    checkKey(prefix);
  } catch (error) {
    throw new ConfigurationError([`s3Prefix can't be used: ${(error as Error).message}`]);
  }
}
