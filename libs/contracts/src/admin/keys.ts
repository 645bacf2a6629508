import * as z from 'zod';
import { modelName } from '../config/models-file.js';

/** The admin API: `/admin/keys`. Everything here is ours; OpenAI has other admin APIs, for organisations. */

const TOKENS_MAX = 1_000_000_000_000;

/** What a key may use. Absent or null: no limit. */
export const keyLimitsSchema = z
  .strictObject({
    requests_per_minute: z.int().min(1).max(100_000_000).nullish(),
    tokens_per_minute: z.int().min(1).max(TOKENS_MAX).nullish(),
    concurrent_requests: z.int().min(1).max(1_000_000).nullish(),
    tokens_per_day: z.int().min(1).max(TOKENS_MAX).nullish().describe('Tokens from 00:00 UTC on.'),
    tokens_per_month: z
      .int()
      .min(1)
      .max(TOKENS_MAX)
      .nullish()
      .describe('Tokens from the first of the month on, 00:00 UTC.'),
  })
  .meta({ id: 'KeyLimits' });

/** A model's id or alias, or the beginning of one with a `*` at its end. */
const allowedModel = z.union([
  modelName,
  z
    .string()
    .max(200)
    .regex(/^[A-Za-z0-9._:/-]*\*$/),
]);

const settable = {
  name: z
    .string()
    .min(1)
    .max(200)
    .regex(/^[^\p{Cc}]+$/u, { error: 'must not hold control characters' }),
  models: z
    .array(allowedModel)
    .min(1)
    .max(1_000)
    .nullish()
    .describe('Ids, aliases, or beginnings with a `*`. Absent or null: all.'),
  limits: keyLimitsSchema.default({}),
  priority: z.int().min(-100).max(100).default(0).describe('Among waiting requests, the higher goes first. Unsaid, 0.'),
  expires_at: z.int().min(0).max(253_402_300_799).nullish().describe('Unix seconds; absent or null: never.'),
  log_messages: z
    .boolean()
    .nullish()
    .describe(
      'Whether records of this key hold what was asked and answered; absent or null: as the setting `logMessages` says.',
    ),
};

export const createKeySchema = z.strictObject(settable).meta({ id: 'CreateKeyRequest' });

/** What is absent stays as it is; null takes a limit away. */
export const changeKeySchema = z
  .strictObject({
    name: settable.name.optional(),
    models: settable.models,
    limits: keyLimitsSchema.optional(),
    priority: z.int().min(-100).max(100).optional(),
    expires_at: settable.expires_at,
    log_messages: settable.log_messages,
  })
  .meta({ id: 'ChangeKeyRequest' });

const KEYS_LISTED_MAX = 1_000;

export const listKeysSchema = z
  .strictObject({
    after: z.string().max(200).optional().describe('The id of a key: the list goes on behind it.'),
    limit: z.coerce.number().int().min(1).max(KEYS_LISTED_MAX).default(100),
    name: settable.name.optional().describe('Only keys whose name holds this, in whatever case.'),
  })
  .meta({ id: 'ListKeysQuery' });

export const keySchema = z
  .object({
    object: z.literal('millrace.key'),
    id: z.string().describe('Public: it stands in the key itself, in records and in logs.'),
    name: z.string(),
    models: z.array(z.string()).nullable(),
    limits: keyLimitsSchema,
    priority: z.int(),
    created_at: z.int().describe('Unix seconds, as the next two.'),
    expires_at: z.int().nullable(),
    revoked_at: z.int().nullable(),
    log_messages: z.boolean().nullable(),
    state: z.enum(['valid', 'expired', 'revoked']),
  })
  .meta({ id: 'Key' });

/** What creating and rotating answer: the only time that the key itself is seen. */
export const newKeySchema = keySchema.extend({ key: z.string() }).meta({ id: 'NewKey' });

export const keyListSchema = z
  .object({
    object: z.literal('list'),
    data: z.array(keySchema),
    has_more: z.boolean().describe('More than are listed: ask again with `after` = `last_id`.'),
    last_id: z.string().nullable(),
  })
  .meta({ id: 'KeyList' });

/** How long the former key goes on being valid beside the new one. */
export const rotateKeySchema = z
  .strictObject({
    grace_seconds: z
      .int()
      .min(0)
      .max(30 * 86_400)
      .default(0),
  })
  .meta({ id: 'RotateKeyRequest' });

export type KeyLimitsBody = z.infer<typeof keyLimitsSchema>;
export type CreateKeyBody = z.infer<typeof createKeySchema>;
export type ChangeKeyBody = z.infer<typeof changeKeySchema>;
export type ListKeysQuery = z.infer<typeof listKeysSchema>;
export type RotateKeyBody = z.infer<typeof rotateKeySchema>;
export type KeyBody = z.infer<typeof keySchema>;
export type NewKeyBody = z.infer<typeof newKeySchema>;
export type KeyListBody = z.infer<typeof keyListSchema>;
