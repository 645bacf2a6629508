import type { Settings } from '@millrace/contracts';
import { type Logger, WatchedTls } from '@millrace/runtime';

/** Every certificate, key and authority that a worker's settings name; undefined: they name none. */
export interface WorkerTls {
  /** By what gateways and this worker know each other. */
  readonly gateways: WatchedTls | undefined;
  readonly redis: WatchedTls | undefined;
  readonly s3: WatchedTls | undefined;
  /** How long each is still valid; negative: it is not any more. */
  secondsLeft(): readonly { readonly use: string; readonly seconds: number }[];
}

/** Reads the files and goes on watching them. @throws ConfigurationError when one can't be used. */
export async function openTls(settings: Settings, logger: Logger): Promise<WorkerTls> {
  const gateways = await open('workerTls', settings, logger);
  const redis = await open('redisTls', settings, logger);
  const caFile = settings['s3Tls.caFile'];
  const s3 =
    caFile === undefined
      ? undefined
      : await WatchedTls.open({ group: 's3Tls', certFile: undefined, keyFile: undefined, caFile }, logger);
  return {
    gateways,
    redis,
    s3,
    secondsLeft: () =>
      Object.entries({ gateways, redis, s3 }).flatMap(([use, tls]) =>
        tls === undefined ? [] : [{ use, seconds: tls.secondsLeft }],
      ),
  };
}

async function open(
  group: 'workerTls' | 'redisTls',
  settings: Settings,
  logger: Logger,
): Promise<WatchedTls | undefined> {
  const [certFile, keyFile, caFile] = [
    settings[`${group}.certFile`],
    settings[`${group}.keyFile`],
    settings[`${group}.caFile`],
  ];
  if (certFile === undefined && caFile === undefined) return undefined;
  return WatchedTls.open({ group, certFile, keyFile, caFile }, logger);
}
