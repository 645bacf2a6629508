import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DEMO_MODEL, ROOT } from './engines.testing.ts';

const START_TIMEOUT_MS = 30_000;

/** llama.cpp's own server, if `tools/build-llama-server.sh` has built it or LLAMA_SERVER names one. */
export function llamaServerProgram(): string | undefined {
  const cache = join(ROOT, '.millrace/cache');
  const built = existsSync(cache) ? readdirSync(cache).filter((name) => /^llama\.cpp-.*-build$/.test(name)) : [];
  const candidates = [process.env.LLAMA_SERVER ?? '', ...built.map((name) => join(cache, name, 'bin/llama-server'))];
  return candidates.find((path) => path !== '' && existsSync(path));
}

export interface RunningServer {
  readonly url: string;
  stop(): Promise<void>;
}

/** Runs it on the built-in model, with four places of `contextLength` tokens. */
export async function startLlamaServer(
  program: string,
  { contextLength, args = [] }: { readonly contextLength: number; readonly args?: readonly string[] },
): Promise<RunningServer> {
  const port = await freePort();
  const sizes = ['-c', String(4 * contextLength), '-np', '4', '-t', '1', '--no-webui'];
  const server = spawn(program, ['-m', DEMO_MODEL, '--host', '127.0.0.1', '--port', String(port), ...sizes, ...args], {
    stdio: 'ignore',
  });
  const url = `http://127.0.0.1:${port}`;
  await untilHealthy(server, url);
  return {
    url,
    stop: async () => {
      server.kill('SIGKILL');
      if (server.exitCode === null && server.signalCode === null) await once(server, 'exit');
    },
  };
}

async function untilHealthy(server: ChildProcess, url: string): Promise<void> {
  const deadline = performance.now() + START_TIMEOUT_MS;
  while (performance.now() < deadline && server.exitCode === null) {
    const status = await fetch(`${url}/health`).then(
      (response) => response.status,
      () => 0,
    );
    if (status === 200) return;
    await sleep(50);
  }
  server.kill('SIGKILL');
  throw new Error(`llama-server did not become ready within ${START_TIMEOUT_MS} ms.`);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}
