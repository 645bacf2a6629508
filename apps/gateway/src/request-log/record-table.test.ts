import { describe } from 'vitest';
import { openEmbedded, openPostgres } from './database.testing.js';
import { describeRealPostgres, recordTableContract } from './record-table.contract.js';

describe('RecordTable on the embedded database', () => {
  recordTableContract(openEmbedded);
});

describeRealPostgres((url) => recordTableContract(() => openPostgres(url)));
