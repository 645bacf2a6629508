import { describe } from 'vitest';
import { workerClientContract } from '../../apps/gateway/src/dispatch/worker-client.contract.ts';
import { QueueBed } from './queue-bed.testing.ts';

const url = process.env.TEST_REDIS_URL;

describe.skipIf(url === undefined)(
  'a pool that is fed by a queue (skipped where TEST_REDIS_URL names no Redis)',
  () => {
    workerClientContract('QueueWorkerClient', async () => {
      const bed = await QueueBed.open(url!);
      return {
        client: bed.client,
        running: () => bed.running(),
        sent: () => bed.worker.engine.sent,
        close: () => bed.close(),
      };
    });
  },
);
