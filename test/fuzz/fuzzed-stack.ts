import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { childrenOf, cpuMsOf } from '../e2e/processes.ts';
import { GUARD, startGuard } from '../e2e/scripted-guard.ts';
import { type Stack, startStack } from '../e2e/stack.ts';

const LOOK_MS_MAX = 10_000;
/** Some ask for more tokens than anybody has time for: they are told so, and sooner than by default. */
const ANSWER_MS_MAX = 20_000;

/** A Millrace that asks for keys, as one that strangers can reach does, with what shows whether it is still well. */
export interface FuzzedStack extends AsyncDisposable {
  readonly url: string;
  readonly key: string;
  readonly adminKey: string;
  /** Of that key, which nobody may revoke. */
  readonly spared: ReadonlySet<string>;
  /** Throws when a process died, nobody answers, or the answer is another than before. */
  lookAfter(): Promise<void>;
  /** What its processes have computed for so far. */
  cpuMs(): number;
  /** Lines of its log that speak of a fault of its own. */
  faultsLogged(): string[];
}

export async function startFuzzedStack(): Promise<FuzzedStack> {
  // Of its own, or it would list and remove the models of whoever runs this.
  const modelsDir = mkdtempSync(join(tmpdir(), 'millrace-fuzz-models-'));
  const guard = await startGuard();
  const stack = await startStack({
    args: ['--models-file', guard.modelsFile],
    environment: {
      MILLRACE_MODERATION_MODEL: GUARD,
      MILLRACE_MODELS_DIR: modelsDir,
      MILLRACE_LOG_FORMAT: 'json',
      MILLRACE_REQUEST_TIMEOUT_MS: String(ANSWER_MS_MAX),
    },
  });
  const adminKey = readFileSync(join(stack.dataFolder, 'admin-key'), 'utf8').trim();
  const { id, key } = await createKey(stack.url, adminKey);
  const pids = processesOf(stack);
  return {
    url: stack.url,
    key,
    adminKey,
    spared: new Set([id]),
    lookAfter: async () => {
      const response = await fetch(`${stack.url}/healthz`, { signal: AbortSignal.timeout(LOOK_MS_MAX) });
      if (response.status !== 200) throw new Error(`/healthz answers ${response.status}.`);
      const told = await asked(stack.url, key);
      if (!told.includes('Paris')) throw new Error(`The capital of France is not Paris any more: ${told}`);
      const now = processesOf(stack);
      if (now !== pids) throw new Error(`A process died: there were ${pids}, there are ${now}.\n${stack.output()}`);
    },
    cpuMs: () => childrenOf(stack.serve.pid!).reduce((sum, child) => sum + cpuMsOf(child), 0),
    faultsLogged: () =>
      stack
        .output()
        .split('\n')
        // That records of strangers are left out above a number is as it should be.
        .filter((line) => /"level":"(error|fatal)"|unhandled/i.test(line) && !line.includes('who had no key')),
    [Symbol.asyncDispose]: async () => {
      await stack.stop();
      await guard.close();
      rmSync(modelsDir, { recursive: true, force: true });
    },
  };
}

/** Gateway and worker; what those start for a moment comes and goes. */
function processesOf({ serve }: Stack): string {
  return childrenOf(serve.pid!)
    .map(({ pid }) => pid)
    .sort((a, b) => a - b)
    .join(', ');
}

/** What anybody is told who asks in earnest. */
async function asked(url: string, key: string): Promise<string> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', 'x-millrace-cache': 'off' },
    body: JSON.stringify({ messages: [{ role: 'user', content: 'What is the capital of France?' }], temperature: 0 }),
    signal: AbortSignal.timeout(ANSWER_MS_MAX),
  });
  return await response.text();
}

async function createKey(url: string, adminKey: string): Promise<{ id: string; key: string }> {
  const response = await fetch(`${url}/admin/keys`, {
    method: 'POST',
    headers: { authorization: `Bearer ${adminKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'fuzzer' }),
  });
  if (!response.ok) throw new Error(`No key: ${await response.text()}`);
  return (await response.json()) as { id: string; key: string };
}
