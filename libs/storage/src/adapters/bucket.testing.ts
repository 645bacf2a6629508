import { randomUUID } from 'node:crypto';
import { Agent } from 'node:https';
import { Client } from 'minio';

/** The settings of the same names, of a new bucket. */
export interface BucketSettings {
  readonly s3Url: string;
  readonly s3Bucket: string;
  readonly s3Prefix: string;
  readonly s3Region: string;
  readonly s3AccessKey: string;
  readonly s3SecretKey: string;
  readonly s3SilenceMsMax: number;
}

const REGION = 'us-east-1';

/** @param url with the key in it: `TEST_S3_URL`. @param ca the authority of one that speaks TLS. */
export async function bucketOfItsOwn(url: string, ca?: string): Promise<BucketSettings> {
  const { username, password, origin } = new URL(url);
  const bucket = `test-${randomUUID()}`;
  await clientOf(url, ca).makeBucket(bucket);
  return {
    s3Url: origin,
    s3Bucket: bucket,
    s3Prefix: 'tests',
    s3Region: REGION,
    s3AccessKey: username,
    s3SecretKey: password,
    s3SilenceMsMax: 10_000,
  };
}

/** With all that is in it. */
export async function removeBucket(url: string, bucket: string): Promise<void> {
  const client = clientOf(url);
  const names: string[] = [];
  for await (const { name } of client.listObjectsV2(bucket, '', true)) names.push(name!);
  await client.removeObjects(bucket, names);
  await client.removeBucket(bucket);
}

function clientOf(url: string, ca?: string): Client {
  const { hostname, port, username, password, protocol } = new URL(url);
  const keys = { accessKey: username, secretKey: password };
  const useSSL = protocol === 'https:';
  const trust = useSSL ? { transportAgent: new Agent({ ca }) } : {};
  return new Client({ endPoint: hostname, port: Number(port), useSSL, region: REGION, ...keys, ...trust });
}
