import type { UpstreamEntry } from '@millrace/contracts';
import { type ProviderPing, pingProvider, providerKey } from '@millrace/openai-engine';

/** So long what a provider said is good for its other models too: they are opened, and fail, all at the same time. */
const SHARED_MS = 500;

/** Pings of providers: one for all the models that are asked of a provider with one key. */
export class ProviderPings {
  readonly #newest = new Map<string, { readonly atMs: number; readonly ping: Promise<ProviderPing> }>();
  readonly #stop = new AbortController();

  constructor(
    private readonly environment: NodeJS.ProcessEnv,
    private readonly timeoutMs: number,
  ) {}

  /** @throws when it was closed meanwhile. */
  ping(upstream: UpstreamEntry): Promise<ProviderPing> {
    const key = providerKey(upstream);
    const known = this.#newest.get(key);
    if (known !== undefined && performance.now() - known.atMs < SHARED_MS) return known.ping;
    const access = { upstream, environment: this.environment };
    const ping = pingProvider(access, this.timeoutMs, this.#stop.signal);
    this.#newest.set(key, { atMs: performance.now(), ping });
    return ping;
  }

  close(): void {
    this.#stop.abort(new Error('The gateway stops.'));
    this.#newest.clear();
  }
}
