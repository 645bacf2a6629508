import type { Settings } from '@millrace/contracts';
import { type Logger, type TlsFiles, WatchedTls } from '@millrace/runtime';

/** Every certificate, key and authority that the settings name; undefined: they name none. */
export interface GatewayTls {
  /** What the gateway shows its clients. */
  readonly gateway: WatchedTls | undefined;
  readonly workers: WatchedTls | undefined;
  readonly redis: WatchedTls | undefined;
  readonly postgres: WatchedTls | undefined;
  readonly qdrant: WatchedTls | undefined;
  readonly s3: WatchedTls | undefined;
  /** What has expired, or was changed to something that can't be used. Sentences. */
  troubles(): readonly string[];
  /** How long each is still valid; negative: it is not any more. */
  secondsLeft(): readonly { readonly use: string; readonly seconds: number }[];
  close(): void;
}

/**
 * Reads the files and goes on watching them.
 *
 * @throws ConfigurationError when one can't be used.
 */
export async function openTls(settings: Settings, logger: Logger): Promise<GatewayTls> {
  const opened: WatchedTls[] = [];
  const open = async (group: Group): Promise<WatchedTls | undefined> => {
    const files = filesOf(settings, group);
    if (files.certFile === undefined && files.caFile === undefined) return undefined;
    const tls = await WatchedTls.open(files, logger);
    opened.push(tls);
    return tls;
  };
  const close = () => {
    for (const tls of opened) tls.close();
  };
  try {
    const [gateway, workers, redis, postgres, qdrant, s3] = [
      await open('tls'),
      await open('workerTls'),
      await open('redisTls'),
      await open('postgresTls'),
      await open('qdrantTls'),
      await open('s3Tls'),
    ];
    return {
      ...{ gateway, workers, redis, postgres, qdrant, s3 },
      troubles: () => opened.flatMap(({ trouble }) => trouble ?? []),
      secondsLeft: () => opened.map(({ group, secondsLeft }) => ({ use: USES[group as Group], seconds: secondsLeft })),
      close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

/** As metrics call them. */
const USES = {
  tls: 'gateway',
  workerTls: 'workers',
  redisTls: 'redis',
  postgresTls: 'postgres',
  qdrantTls: 'qdrant',
  s3Tls: 's3',
} as const;

type Group = keyof typeof USES;

function filesOf(settings: Settings, group: Group): TlsFiles {
  const all: Readonly<Record<string, unknown>> = settings;
  const file = (name: string) => all[`${group}.${name}`] as string | undefined;
  // `tls.caFile` is by what commands know the gateway; the gateway itself knows nobody by it.
  const caFile = group === 'tls' ? undefined : file('caFile');
  return { group, certFile: file('certFile'), keyFile: file('keyFile'), caFile };
}
