import type { UsageReportBody } from '@millrace/contracts';
import type { RequestLog } from '../request-log/request-log.js';
import type { UsageRow, UsageTotals } from '../request-log/usage-totals.js';
import { parseUsageQuery } from '../validation/parse-usage-query.js';
import type { Call } from '../vocabulary.js';
import { recordedAdmin } from './recorded-admin.js';

const IF_AWAY = 'Requests are counted meanwhile: ask again once it is back.';

/** GET /admin/usage: tokens and requests of each key, model and day. */
export class ReportUsage {
  constructor(
    private readonly totals: UsageTotals,
    private readonly requestLog: RequestLog,
  ) {}

  run(query: unknown, call: Call): Promise<UsageReportBody> {
    return recordedAdmin(this.requestLog, call, IF_AWAY, () => this.#report(query));
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
