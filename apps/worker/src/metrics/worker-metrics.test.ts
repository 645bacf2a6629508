import type { AddressInfo } from 'node:net';
import { startMetrics } from '@millrace/runtime';
import { expect, it } from 'vitest';
import { WORKER_METRICS } from './declarations.js';
import { openScrapeServer } from './scrape-server.js';
import { WorkerMetrics } from './worker-metrics.js';

it('serves every declared metric once something has happened', async () => {
  const scrapes = startMetrics({ serviceName: 'millrace-worker', serviceVersion: 'test', pool: 'gpu' });
  const metrics = new WorkerMetrics();
  const model = metrics.of('small');
  metrics.of('new').begins();
  metrics.watch({
    engineLoads: () => [
      { model: 'small', running: 3, waiting: 2 },
      { model: 'large', running: 0, waiting: 1 },
    ],
    loadedModels: () => 2,
    batchSizeMax: 32,
    tls: { secondsLeft: () => [{ use: 'gateways', seconds: 1 }] },
  });
  model.decided('joined');
  model.stepped(20, 3, 40, 3);
  model.settled('stop', 12, 30);
  model.embedding.computed(25, 7);
  model.embedding.settled('computed', 3);
  model.embedding.settled('failed', 0);
  metrics.modelLoaded('small', 1_500);
  metrics.modelLoaded('large', 9_000);
  metrics.modelUnloaded('large', 'idle');
  metrics.jobTaken('begun');
  const server = await openScrapeServer('127.0.0.1', 0, scrapes.answerScrape);
  const { port } = server.address() as AddressInfo;

  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  for (const { name } of WORKER_METRICS) expect(text).toContain(`# TYPE ${name} `);
  expect(text).toMatch(/millrace_worker_sequences_total\{.*outcome="stop",model="small".*\} 1\n/);
  expect(text).toMatch(/millrace_worker_running_sequences\{.*model="small".*\} 3\n/);
  expect(text).toMatch(/millrace_worker_load_duration_seconds\{.*model="small".*\} 1.5\n/);
  expect(text).toMatch(/millrace_worker_tokens_total\{.*kind="prompt".*\} 19\n/);
  expect(text).toMatch(/millrace_worker_tokens_total\{.*kind="cached".*\} 30\n/);
  expect(text).toMatch(/millrace_worker_embedding_inputs_total\{.*outcome="computed".*\} 3\n/);
  expect(text).toMatch(/millrace_worker_loaded_models\{.*\} 2\n/);
  expect(text).toMatch(/millrace_worker_model_loads_total\{.*outcome="loaded",model="large".*\} 1\n/);
  expect(text).toMatch(/millrace_worker_model_unloads_total\{.*reason="idle".*\} 1\n/);
  expect(text).toMatch(/millrace_worker_step_duration_seconds_count\{.*model="new".*\} 0\n/);
  expect(text).toMatch(/millrace_worker_step_duration_seconds_count\{.*model="small".*\} 1\n/);
  const series = text.split('\n').filter((line) => line.startsWith('millrace_'));
  for (const line of series) expect(line).toContain('pool="gpu"');
  expect(text).not.toContain('outcome="failed"');
  expect((await fetch(`http://127.0.0.1:${port}/other`)).status).toBe(404);
  await expect(openScrapeServer('127.0.0.1', port, scrapes.answerScrape)).rejects.toThrow(/--worker-metrics-port/);

  server.close();
  await scrapes.close();
});
