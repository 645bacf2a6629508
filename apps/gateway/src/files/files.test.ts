import { openObjectStore } from '@millrace/storage';
import { describe } from 'vitest';
import { bucketOfItsOwn } from '../../../../libs/storage/src/adapters/bucket.testing.js';
import { openEmbedded, openPostgres } from '../request-log/database.testing.js';
import { filesContract } from './files.contract.js';
import { folderOfItsOwn } from './files.testing.js';

const [postgresUrl, s3Url] = [process.env.TEST_POSTGRES_URL, process.env.TEST_S3_URL];
const aBucket = async () => openObjectStore(await bucketOfItsOwn(s3Url!), 'files', '', undefined);

describe('files in a folder, and in the embedded database', () => {
  filesContract(async () => ({ database: await openEmbedded(), objects: folderOfItsOwn() }));
});

describe.skipIf(s3Url === undefined)('files in a real bucket (TEST_S3_URL), and in the embedded database', () => {
  filesContract(async () => ({ database: await openEmbedded(), objects: await aBucket() }));
});

describe.skipIf(postgresUrl === undefined)('files in a folder, and in a real Postgres (TEST_POSTGRES_URL)', () => {
  filesContract(async () => ({ database: await openPostgres(postgresUrl!), objects: folderOfItsOwn() }));
});
