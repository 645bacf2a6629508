import type { AddressInfo } from 'node:net';
import { startMetrics } from '@millrace/runtime';
import { expect, it } from 'vitest';
import { WORKER_METRICS } from './declarations.js';
import { openScrapeServer } from './scrape-server.js';
import { WorkerMetrics } from './worker-metrics.js';

it('serves every declared metric once something has happened', async () => {
  const scrapes = startMetrics({ serviceName: 'millrace-worker', serviceVersion: 'test' });
  const metrics = new WorkerMetrics();
  metrics.watch({
    engineLoad: () => ({ running: 3, waiting: 2 }),
    loadedModels: () => 2,
    tls: { secondsLeft: () => [{ use: 'gateways', seconds: 1 }] },
  });
  metrics.decided('joined');
  metrics.stepped(20, 3, 40, 3);
  metrics.settled('stop', 12, 30);
  metrics.embedding.computed(25, 7);
  metrics.embedding.settled('computed', 3);
  metrics.embedding.settled('failed', 0);
  metrics.modelLoaded(1_500, true);
  metrics.modelLoaded(9_000, false);
  metrics.modelUnloaded('idle');
  metrics.jobTaken('begun');
  const server = await openScrapeServer('127.0.0.1', 0, scrapes.answerScrape);
  const { port } = server.address() as AddressInfo;

  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  for (const { name } of WORKER_METRICS) expect(text).toContain(`# TYPE ${name} `);
  expect(text).toMatch(/millrace_worker_sequences_total\{outcome="stop".*\} 1\n/);
  expect(text).toMatch(/millrace_worker_running_sequences\{.*\} 3\n/);
  expect(text).toMatch(/millrace_worker_load_duration_seconds\{.*\} 1.5\n/);
  expect(text).toMatch(/millrace_worker_tokens_total\{kind="prompt".*\} 19\n/);
  expect(text).toMatch(/millrace_worker_tokens_total\{kind="cached".*\} 30\n/);
  expect(text).toMatch(/millrace_worker_embedding_inputs_total\{outcome="computed".*\} 3\n/);
  expect(text).toMatch(/millrace_worker_loaded_models\{.*\} 2\n/);
  expect(text).toMatch(/millrace_worker_model_loads_total\{outcome="loaded".*\} 2\n/);
  expect(text).toMatch(/millrace_worker_model_unloads_total\{reason="idle".*\} 1\n/);
  expect(text).not.toContain('outcome="failed"');
  expect((await fetch(`http://127.0.0.1:${port}/other`)).status).toBe(404);
  await expect(openScrapeServer('127.0.0.1', port, scrapes.answerScrape)).rejects.toThrow(/--worker-metrics-port/);

  server.close();
  await scrapes.close();
});
