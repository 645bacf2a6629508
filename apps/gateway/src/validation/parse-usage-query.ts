import { InferenceError, USAGE_GROUPS, type UsageGroup, usageQuerySchema } from '@millrace/contracts';
import { checkShape } from './check-shape.js';
import { checkText } from './check-text.js';
import { refuseUnknown } from './refuse-unknown.js';
import { show } from './show-value.js';

const DAY_MS = 86_400_000;
/** With the last. */
const DAYS_UNSAID = 30;

export interface ValidUsageQuery {
  /** Both counted. */
  readonly from: string;
  readonly to: string;
  readonly key: string | undefined;
  readonly model: string | undefined;
  readonly groups: ReadonlySet<UsageGroup>;
  readonly limit: number;
}

/** GET /admin/usage. @throws InferenceError a 400 that names the parameter. */
export function parseUsageQuery(query: unknown, nowMs: number): ValidUsageQuery {
  const given = query ?? {};
  checkText(given as object);
  refuseUnknown(given as object, Object.keys(usageQuerySchema.shape));
  const { from, to, key, model, group_by, limit } = checkShape(usageQuerySchema, given);
  const last = to ?? dayOf(nowMs);
  const first = from ?? dayOf(Date.parse(last) - (DAYS_UNSAID - 1) * DAY_MS);
  if (first > last) {
    throw new InferenceError('invalid_request', `\`from\` is ${first} and \`to\` is ${last}; \`from\` comes first.`, {
      param: 'from',
    });
  }
  return { from: first, to: last, key, model, groups: groupsOf(group_by), limit };
}

function groupsOf(text: string | undefined): ReadonlySet<UsageGroup> {
  if (text === undefined) return new Set(USAGE_GROUPS);
  const names = text.split(',').map((name) => name.trim());
  const groups = new Set(USAGE_GROUPS.filter((group) => names.includes(group)));
  const odd = names.find((name) => !groups.has(name as UsageGroup));
  if (odd === undefined) return groups;
  throw new InferenceError(
    'invalid_request',
    `\`group_by\` is ${show(text)}; it takes ${USAGE_GROUPS.join(', ')}, with commas between.`,
    { param: 'group_by' },
  );
}

function dayOf(unixMs: number): string {
  return new Date(unixMs).toISOString().slice(0, 10);
}
