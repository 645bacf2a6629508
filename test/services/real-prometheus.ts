import { join } from 'node:path';
import { describe } from 'vitest';
import { freePort, NotInstalled, RealService } from './real-service.ts';

const ANSWER_TIMEOUT_MS = 1_000;
const QUERY_TIMEOUT_MS = 30_000;

/** The program, as `make test-services` says; its sister `promtool` lies beside it. */
const PROMETHEUS = process.env.TEST_PROMETHEUS;
export const PROMTOOL = PROMETHEUS === undefined ? undefined : join(PROMETHEUS, '..', 'promtool');

/** A suite that wants the two programs of Debian's package `prometheus`. */
export function describePrometheus(what: string, suite: () => void): void {
  describe.skipIf(PROMETHEUS === undefined)(`${what} (TEST_PROMETHEUS, as \`make test-services\` sets it)`, suite);
}

export interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [seconds: number, value: string];
}

/** A Prometheus of our own, that scrapes what it is told and forgets everything at its end. */
export class RealPrometheus extends RealService {
  protected readonly stopSignal = 'SIGTERM';
  protected readonly program: string;
  readonly #config: string;

  private constructor(port: number, program: string, config: string) {
    super(port, 'prometheus');
    this.program = program;
    this.#config = this.keep('prometheus.yml', config);
  }

  /** @param config as of `prometheus.yml`. @throws Error when this machine has none. */
  static async start(config: string): Promise<RealPrometheus> {
    if (PROMETHEUS === undefined)
      throw new NotInstalled('TEST_PROMETHEUS names no Prometheus: see `make test-services`.');
    const prometheus = new RealPrometheus(await freePort(), PROMETHEUS, config);
    await prometheus.start();
    return prometheus;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  protected get args(): readonly string[] {
    return [
      `--config.file=${this.#config}`,
      `--storage.tsdb.path=${this.folder}/data`,
      `--web.listen-address=127.0.0.1:${this.port}`,
      '--log.level=warn',
    ];
  }

  protected async answers(): Promise<boolean> {
    return fetch(`${this.url}/-/ready`, { signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) }).then(
      ({ ok }) => ok,
      () => false,
    );
  }

  /** By its HTTP API, as Grafana asks. @throws Error in its words where it does not take the query. */
  async ask(query: string): Promise<readonly Sample[]> {
    const { resultType, result } = await this.get<{ resultType: string; result: readonly Sample[] }>(
      `query?${new URLSearchParams({ query })}`,
    );
    if (resultType !== 'vector') throw new Error(`${query} brought a ${resultType}, no vector.`);
    return result;
  }

  async get<T>(path: string): Promise<T> {
    const response = await fetch(`${this.url}/api/v1/${path}`, { signal: AbortSignal.timeout(QUERY_TIMEOUT_MS) });
    const body = (await response.json()) as { status: string; error?: string; data: T };
    if (body.status !== 'success') throw new Error(`Prometheus refused ${path}: ${body.error}`);
    return body.data;
  }
}
