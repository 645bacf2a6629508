import { CommandError } from '../command.js';
import { gatewayUrl, urlOfGateway } from '../gateway-address.js';
import { askGateway } from '../gateway-client.js';
import { withAdminKey } from '../gateway-keys.js';
import type { Asked } from './models-command.js';

/** A large model may take minutes to come from a bucket and to be loaded. */
const WARM_MS_MAX = 3_600_000;

interface WarmedBody {
  readonly workers: readonly { readonly worker: string; readonly ok: boolean; readonly detail: string }[];
}

/** Has the workers of a running gateway load a model before anybody asks for it. */
export async function warm({ loaded, flags, word, signal, write, workingFolder }: Asked): Promise<number> {
  const { settings } = loaded;
  const url = flags.url === undefined ? gatewayUrl(settings) : urlOfGateway(flags.url);
  const headers = withAdminKey(settings, workingFolder);
  const response = await askGateway(url, `/admin/models/${encodeURIComponent(word!)}/warm`, {
    method: 'POST',
    headers,
    signal: AbortSignal.any([signal, AbortSignal.timeout(WARM_MS_MAX)]),
  });
  const body = (await response.json()) as WarmedBody;
  if (flags.json) write(`${JSON.stringify(body, null, 2)}\n`);
  else for (const { worker, ok, detail } of body.workers) write(`${worker}: ${ok ? 'has it loaded.' : detail}\n`);
  const failed = body.workers.filter(({ ok }) => !ok);
  if (failed.length === body.workers.length && body.workers.length > 0)
    throw new CommandError(`No worker could load ${word}.`);
  return failed.length === 0 ? 0 : 1;
}
