import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parse } from 'yaml';
import { ROOT } from './stack.ts';

const OURS = join(ROOT, 'configs/models.yaml');

interface ModelsFile {
  readonly defaultModel: string;
  readonly models: readonly { readonly path: string }[];
}

/** Under which Millrace serves it. */
export const GUARD = 'guard';

/** A server with a model that judges, in the manner of Llama Guard: a text that speaks of a knife is unsafe, by `S1`. */
export interface ScriptedGuard {
  /** The one that comes with Millrace, and this model in it. */
  readonly modelsFile: string;
  close(): Promise<void>;
}

export async function startGuard(): Promise<ScriptedGuard> {
  const server = createServer((request, response) => {
    void bodyOf(request).then((body) => {
      if (request.url?.endsWith('/models'))
        return void response.end(JSON.stringify({ object: 'list', data: [{ id: 'm', object: 'model' }] }));
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      const pieces = /knife/.test(body) ? ['unsafe', '\n', 'S1'] : ['safe'];
      for (const content of pieces) {
        const token = { token: content, logprob: -0.01, bytes: [...Buffer.from(content)], top_logprobs: [] };
        response.write(event({ choices: [{ index: 0, delta: { content }, logprobs: { content: [token] } }] }));
      }
      response.write(event({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] }));
      const usage = { prompt_tokens: 9, completion_tokens: pieces.length, total_tokens: 9 + pieces.length };
      response.end(`${event({ choices: [], usage })}data: [DONE]\n\n`);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  const folder = mkdtempSync(join(tmpdir(), 'millrace-guard-'));
  const modelsFile = join(folder, 'models.yaml');
  const entry = { id: GUARD, engine: 'openai-compatible', upstream: { preset: 'vllm', url, model: 'm' } };
  const { defaultModel, models } = parse(readFileSync(OURS, 'utf8')) as Readonly<ModelsFile>;
  const beside = models.map((model) => ({ ...model, path: resolve(dirname(OURS), model.path) }));
  // JSON is YAML.
  writeFileSync(modelsFile, JSON.stringify({ defaultModel, models: [...beside, entry] }));
  return {
    modelsFile,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts).toString();
}

function event(body: object): string {
  return `data: ${JSON.stringify(body)}\n\n`;
}
