import { randomUUID } from 'node:crypto';
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

/** @param url with the key in it: `TEST_S3_URL`. */
export async function bucketOfItsOwn(url: string): Promise<BucketSettings> {
  const { hostname, port, username, password, origin } = new URL(url);
  const [region, bucket] = ['us-east-1', `test-${randomUUID()}`];
  const keys = { accessKey: username, secretKey: password };
  await new Client({ endPoint: hostname, port: Number(port), useSSL: false, region, ...keys }).makeBucket(bucket);
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
