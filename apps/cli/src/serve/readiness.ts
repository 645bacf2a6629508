import { readyzSchema } from '@millrace/contracts';
import { fetchGateway } from '../fetch-gateway.js';
import { notTrusted } from '../gateway-client.js';

export type Readiness =
  | { readonly ready: true; readonly capabilities: Readonly<Record<string, readonly string[]>> }
  /** Without a reason, nothing answered at all. */
  | { readonly ready: false; readonly reason: string | undefined };

const ANSWER_TIMEOUT_MS = 2_000;

export async function askReadiness(url: string): Promise<Readiness> {
  try {
    const response = await fetchGateway(`${url}/readyz`, { signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) });
    const body = readyzSchema.parse(await response.json());
    if (body.status === 'ready') return { ready: true, capabilities: body.capabilities };
    return { ready: false, reason: body.reason };
  } catch (error) {
    // Not there yet, or busy; whoever asks will ask again.
    const untrusted = notTrusted(error);
    return { ready: false, reason: untrusted && `The gateway is not believed: ${untrusted}.` };
  }
}
