import { InferenceError, type UsageReportBody } from '@millrace/contracts';
import type { RequestLog } from '../request-log/request-log.js';
import type { UsageRow, UsageTotals } from '../request-log/usage-totals.js';
import { DatabaseUnavailable } from '../stores/sql-database.js';
import { parseUsageQuery } from '../validation/parse-usage-query.js';
import type { Call } from '../vocabulary.js';

/** GET /admin/usage: tokens and requests of each key, model and day. */
export class ReportUsage {
  constructor(
    private readonly totals: UsageTotals,
    private readonly requestLog: RequestLog,
  ) {}

  async run(query: unknown, call: Call): Promise<UsageReportBody> {
    const record = this.requestLog.open('admin', call);
    try {
      const report = await this.#report(query);
      record.done(0);
      return report;
    } catch (thrown) {
      const error = thrown instanceof DatabaseUnavailable ? databaseAway(thrown) : thrown;
      record.fail(error);
      throw error;
    } finally {
      record.close();
    }
  }

  async #report(query: unknown): Promise<UsageReportBody> {
    const { groups, limit, from, to, key, model } = parseUsageQuery(query, Date.now());
    // One more than wanted tells whether there are more.
    const rows = await this.totals.rows({ from, to, key, model, by: groups, rowsMax: limit + 1 });
    return {
      object: 'millrace.usage',
      from,
      to,
      data: rows.slice(0, limit).map(bodyOf),
      has_more: rows.length > limit,
      pending_records: this.totals.pending,
    };
  }
}

/** Empty, in the table, is null outside of it: the totals' key can't hold nulls. */
function bodyOf({ day, key_id, key_name, model, ...counts }: UsageRow): UsageReportBody['data'][number] {
  return {
    ...(day !== undefined && { day }),
    ...(key_id !== undefined && { key_id: key_id || null, key_name: key_name ?? null }),
    ...(model !== undefined && { model: model || null }),
    ...counts,
    total_tokens: counts.prompt_tokens + counts.completion_tokens,
  };
}

function databaseAway(cause: DatabaseUnavailable): InferenceError {
  return new InferenceError(
    'store_unavailable',
    `${cause.message} Requests are counted meanwhile: ask again once it is back.`,
    { cause },
  );
}
