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

/** @param url with the key in it: `TEST_S3_URL`. @param ca the authority of one that speaks TLS. */
export async function bucketOfItsOwn(url: string, ca?: string): Promise<BucketSettings> {
  const { hostname, port, username, password, origin, protocol } = new URL(url);
  const [region, bucket] = ['us-east-1', `test-${randomUUID()}`];
  const keys = { accessKey: username, secretKey: password };
  const useSSL = protocol === 'https:';
  const trust = useSSL ? { transportAgent: new Agent({ ca }) } : {};
  await new Client({ endPoint: hostname, port: Number(port), useSSL, region, ...keys, ...trust }).makeBucket(bucket);
  return {
    s3Url: origin,
    s3Bucket: bucket,
    s3Prefix: 'tests',
    s3Region: region,
    s3AccessKey: username,
    s3SecretKey: password,
    s3SilenceMsMax: 10_000,
  };
}
