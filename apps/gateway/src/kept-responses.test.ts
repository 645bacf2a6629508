import { describe } from 'vitest';
import { keptResponsesContract } from './kept-responses.contract.js';
import { openEmbedded, openPostgres } from './request-log/database.testing.js';

const postgres = process.env.TEST_POSTGRES_URL;

describe('responses and conversations in the embedded database', { timeout: 60_000 }, () => {
  keptResponsesContract(openEmbedded);
});

describe.skipIf(postgres === undefined)(
  'responses and conversations in a real Postgres (TEST_POSTGRES_URL is not set: `make test-services`)',
  { timeout: 60_000 },
  () => {
    keptResponsesContract(() => openPostgres(postgres!));
  },
);
