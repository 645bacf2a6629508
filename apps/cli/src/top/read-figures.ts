import { healthSchema } from '@millrace/contracts';
import { CommandError } from '../command.js';
import { fetchGateway } from '../fetch-gateway.js';
import { askGateway } from '../gateway-client.js';
import { type MetricsText, parseMetrics } from './metrics-text.js';
import type { Reading } from './reading.js';

export interface Watched {
  readonly url: string;
  /** Such as the one with the admin key. */
  readonly headers: Readonly<Record<string, string>>;
  /** Where workers serve their own metrics. */
  readonly workers: readonly string[];
  readonly timeoutMs: number;
}

/** Far more than a gateway with thousands of series writes. */
const METRICS_CHARACTERS_MAX = 32_000_000;

/** Asks gateway and workers at once. @throws CommandError when the gateway does not answer. A worker may be away. */
export async function readFigures(
  { url, headers, workers, timeoutMs }: Watched,
  signal: AbortSignal,
): Promise<Reading> {
  const timeout = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  try {
    const [metrics, health, ...ofWorkers] = await Promise.all([
      askGateway(url, '/metrics', { headers, signal: timeout }).then(textOf),
      askGateway(url, '/health', { headers, signal: timeout }).then((response) => response.json()),
      ...workers.map((address) => workerMetrics(address, timeout)),
    ]);
    return {
      atMs: performance.now(),
      metrics: parseMetrics(metrics),
      health: healthOf(health, url),
      workers: new Map(workers.map((address, index) => [address, ofWorkers[index]])),
    };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof CommandError) throw error;
    if (timeout.aborted) throw new CommandError(`The gateway at ${url} did not answer within ${timeoutMs} ms.`);
    throw new CommandError(
      `The gateway at ${url} broke off: ${error instanceof Error ? error.message : String(error)}.`,
    );
  }
}

/** Without the admin key: that is none of a worker's business. */
async function workerMetrics(address: string, signal: AbortSignal): Promise<MetricsText | undefined> {
  try {
    const response = await fetchGateway(`${address}/metrics`, { signal });
    return response.ok ? parseMetrics(await textOf(response)) : undefined;
  } catch {
    return undefined;
  }
}

async function textOf(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const piece of response.body ?? []) {
    text += decoder.decode(piece, { stream: true });
    if (text.length > METRICS_CHARACTERS_MAX) {
      throw new CommandError(
        `${response.url || 'The server'} sends more than ${METRICS_CHARACTERS_MAX} characters of metrics. Is it a gateway?`,
      );
    }
  }
  return text;
}

function healthOf(body: unknown, url: string): Reading['health'] {
  const parsed = healthSchema.safeParse(body);
  if (parsed.success) return parsed.data;
  throw new CommandError(
    `What answers at ${url}/health is no Millrace gateway of this release. Name another with --url.`,
  );
}
