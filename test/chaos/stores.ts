import type { Stage } from '../bench/programs.ts';
import { RealPostgres } from '../services/real-postgres.ts';
import { RealRedis } from '../services/real-redis.ts';
import { NotInstalled, type RealService } from '../services/real-service.ts';

/** A Redis of its own for as long as the stage stands; undefined where the machine has none. */
export function startRedis(stage: Stage): Promise<RealRedis | undefined> {
  return onStage(stage, RealRedis.start());
}

/** A Postgres likewise. */
export function startPostgres(stage: Stage): Promise<RealPostgres | undefined> {
  return onStage(stage, RealPostgres.start());
}

async function onStage<Service extends RealService>(
  stage: Stage,
  starting: Promise<Service>,
): Promise<Service | undefined> {
  // Before it is there: the stage may be cleaned up meanwhile.
  stage.add(async () => (await starting.catch(() => undefined))?.end());
  try {
    return await starting;
  } catch (error) {
    if (error instanceof NotInstalled) return undefined;
    throw error;
  }
}
