import { describe } from 'vitest';
import { openEmbedded, openPostgres } from '../request-log/database.testing.js';
import { storedResponsesContract } from './stored-responses.contract.js';

const postgres = process.env.TEST_POSTGRES_URL;

describe('responses in the embedded database', { timeout: 60_000 }, () => {
  storedResponsesContract(openEmbedded);
});

describe.skipIf(postgres === undefined)(
  'responses in a real Postgres (TEST_POSTGRES_URL is not set: `make test-services`)',
  { timeout: 60_000 },
  () => {
    storedResponsesContract(() => openPostgres(postgres!));
  },
);
