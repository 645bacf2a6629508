import * as z from 'zod';
import { modelState } from './models.js';

/** What the service says of itself: not OpenAI's, but every orchestrator asks. */

export const healthzSchema = z.object({ status: z.literal('ok') }).meta({ id: 'Healthz' });

export const welcomeSchema = z
  .object({
    name: z.literal('millrace'),
    version: z.string(),
    description: z.string(),
    api: z.string(),
    docs: z.string(),
    openapi: z.string(),
    health: z.string(),
  })
  .meta({ id: 'Welcome' });

/** How far loading is, or why it failed, stands in `detail`; else that is empty. */
const models = z.array(z.object({ id: z.string(), state: modelState, detail: z.string() })).optional();

/** What works, but not as it should: a store that is away, an edit that can't be used, and what that means. Sentences. */
const DEGRADED_PARTS = [
  'redis',
  'database',
  'vectors',
  'objects',
  'jobs',
  'queue',
  'keys',
  'records',
  'models_file',
  'providers',
  'workers',
  'tls',
] as const;
const degraded = z.array(z.object({ part: z.enum(DEGRADED_PARTS), detail: z.string() })).optional();

export const readyzSchema = z
  .discriminatedUnion('status', [
    z.object({
      status: z.literal('ready'),
      /** What is missing all the same: a worker, where `readyWithoutWorkers` says that it may be. */
      reason: z.string().optional(),
      capabilities: z.record(z.string(), z.array(z.string())),
      models,
      degraded,
    }),
    z.object({ status: z.literal('not ready'), reason: z.string(), models, degraded }),
  ])
  .meta({ id: 'Readyz' });

export const healthSchema = z
  .object({
    status: z.enum(['ok', 'degraded']),
    ready: readyzSchema,
    version: z.string(),
    node: z.string(),
    workers: z.array(
      z.object({
        address: z.string(),
        state: z.enum(['connecting', 'loading', 'ready', 'draining', 'lost']),
        detail: z.string(),
        version: z.string(),
        running: z.int(),
        waiting: z.int(),
        /** How many answers it computes at a time at most; absent: it did not say. */
        running_max: z.int().optional(),
        models: z.array(z.string()),
      }),
    ),
  })
  .meta({ id: 'Health' });

export const errorSchema = z
  .object({
    error: z.object({
      message: z.string(),
      type: z.string(),
      param: z.string().nullable(),
      code: z.string().nullable(),
    }),
  })
  .meta({ id: 'Error' });

export type WelcomeBody = z.infer<typeof welcomeSchema>;
export type ReadyzBody = z.infer<typeof readyzSchema>;
export type HealthBody = z.infer<typeof healthSchema>;
