import { describe } from 'vitest';
import { openEmbedded, openPostgres } from './database.testing.js';
import { describeRealPostgres } from './record-table.contract.js';
import { usageTotalsContract } from './usage-totals.contract.js';

describe('UsageTotals on the embedded database', () => {
  usageTotalsContract(openEmbedded);
});

describeRealPostgres((url) => usageTotalsContract(() => openPostgres(url)));
