import { resolve } from 'node:path';
import type { WatchedTls } from '@millrace/runtime';
import { type ObjectStoreSettings, openObjectStore } from '../open-object-store.js';
import { ModelBucket } from './model-bucket.js';
import { ModelStore } from './model-store.js';
import { isPublicAddress } from './sources/public-address.js';
import type { SourceTerms } from './sources/remote-files.js';

/** The settings of the same names. */
export interface ModelStoreSettings extends ObjectStoreSettings {
  readonly modelsDir: string;
  readonly modelSourcesPrivate: boolean;
  readonly modelSilenceMsMax: number;
}

/** Where models come from that have no address of their own, by the variables that the hub's own tools read. */
export interface HubVariables {
  readonly HF_ENDPOINT?: string | undefined;
  readonly HF_TOKEN?: string | undefined;
}

const HUB_URL = 'https://huggingface.co';

/** The models of the settings: a folder, and a bucket where they name one. Asks nobody. @throws ConfigurationError as `openObjectStore`. */
export async function openModelStore(
  settings: ModelStoreSettings,
  { HF_ENDPOINT, HF_TOKEN }: HubVariables,
  tls: WatchedTls | undefined,
): Promise<ModelStore> {
  const folder = resolve(settings.modelsDir);
  const bucket = await openModelBucket(settings, tls);
  const sources: SourceTerms = {
    mayAsk: settings.modelSourcesPrivate ? () => true : isPublicAddress,
    silenceMsMax: settings.modelSilenceMsMax,
    hubUrl: HF_ENDPOINT || HUB_URL,
    hubToken: HF_TOKEN?.trim() || undefined,
    openBucket:
      settings.s3Url === undefined
        ? undefined
        : (name, within) => openObjectStore({ ...settings, s3Bucket: name }, { prefix: `${within}/` }, folder, tls),
  };
  return new ModelStore({ folder, bucket, sources });
}

/** Undefined: the settings name no S3 server. */
export async function openModelBucket(
  settings: ObjectStoreSettings,
  tls: WatchedTls | undefined,
): Promise<ModelBucket | undefined> {
  if (settings.s3Url === undefined) return undefined;
  return new ModelBucket(await openObjectStore(settings, 'models', '', tls));
}
