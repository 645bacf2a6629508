import { createServer, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Stands in for tools/openvino-server where Python is not needed to see what its keeper does: it takes the same flags, has the
 * same `/health`, and answers with one word for ever. Run by Node in the place of Python.
 *
 * The model's path says what goes wrong: `no-package`, `old-python`, `no-model`, `deaf`, `dies-loading`, `stubborn`, or nothing.
 */
const flag = (name: string) => process.argv[process.argv.indexOf(name) + 1] ?? '';
const [id = '', path = ''] = flag('--model').split('=');

if (path === 'no-package') {
  process.stderr.write("INFO hello\nERROR No module named 'openvino_genai': run `pip install`.\n");
  process.exit(3);
}
if (path === 'old-python') {
  process.stderr.write('    ^\nSyntaxError: invalid syntax\n');
  process.exit(1);
}
if (path === 'stubborn') process.on('SIGTERM', () => undefined);
else process.stdin.on('end', () => process.exit(0)).resume();
if (path === 'deaf') await sleep(60_000);

let isLoaded = false;
setTimeout(() => {
  isLoaded = true;
  if (path === 'dies-loading') process.exit(1);
}, 100);

const server = createServer((request, response) => {
  if (request.headers.authorization !== `Bearer ${process.env.OPENVINO_SERVER_KEY}`) return json(response, 401, {});
  if (request.url === '/health') return health(response);
  if (request.url === '/v1/models') return json(response, 200, { data: [{ id, max_model_len: 512 }] });
  request.resume();
  void talk(response);
});
server.listen(Number(flag('--port')), '127.0.0.1', () => {
  const { port } = server.address() as { readonly port: number };
  process.stdout.write(`${JSON.stringify({ listening: port })}\n`);
});

function health(response: ServerResponse): void {
  const failed = isLoaded && path === 'no-model';
  const status = failed ? 'failed' : isLoaded ? 'ok' : 'loading';
  const detail = failed ? 'The model demo can not be loaded: no such file.' : isLoaded ? '' : 'It is being loaded.';
  json(response, isLoaded && !failed ? 200 : 503, { status, models: [{ id, detail, context: 512 }] });
}

function json(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}

async function talk(response: ServerResponse): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  const chunk = (delta: object) => JSON.stringify({ choices: [{ index: 0, delta, finish_reason: null }] });
  while (!response.destroyed) {
    response.write(`data: ${chunk({ content: 'word ' })}\n\n`);
    await sleep(5);
  }
}
