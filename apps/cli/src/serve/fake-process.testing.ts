import { appendFileSync } from 'node:fs';
import { createServer } from 'node:http';

/**
 * Stands in for a gateway or a worker: listens, says so to its parent, and does what its flags tell it.
 *
 * --journal=FILE        writes a line for everything that happens to it
 * --worker-fails=TEXT   the worker says `failed` with this sentence, and ends
 * --gateway-crashes     the gateway ends by SIGKILL before it is ready
 * --deaf                ignores SIGTERM
 */
const flags = new Map(process.argv.slice(2).map((arg) => arg.replace(/^--/, '').split(/=(.*)/s) as [string, string]));
const name = flags.has('worker-port') ? 'worker' : 'gateway';
const port = Number(flags.get('worker-port') ?? flags.get('port'));

function journal(what: string): void {
  appendFileSync(flags.get('journal')!, `${name} ${what} ${process.pid}\n`);
}

process.on('SIGTERM', () => {
  journal('asked-to-stop');
  if (!flags.has('deaf')) setTimeout(() => process.exit(0), 50);
});
process.on('SIGINT', () => undefined);
process.on('exit', () => journal('ended'));
process.on('disconnect', () => process.exit(0));

const failure = flags.get('worker-fails');
if (name === 'worker' && failure !== undefined) {
  process.send!({ kind: 'failed', sentence: failure });
  process.exit(1);
} else {
  let asked = 0;
  const server = createServer((request, response) => {
    if (request.url === '/readyz') {
      asked += 1;
      if (flags.has('gateway-crashes')) process.kill(process.pid, 'SIGKILL');
      response.statusCode = asked < 3 ? 503 : 200;
      response.end(
        JSON.stringify(
          asked < 3 ? { status: 'not ready', reason: `loading ${asked}` } : { status: 'ready', capabilities: {} },
        ),
      );
    } else {
      response.end(
        JSON.stringify({ args: process.argv.slice(2), pid: process.pid, adminKey: process.env.MILLRACE_ADMIN_KEY }),
      );
    }
  });
  server.listen(port, '127.0.0.1', () => {
    const address = server.address() as { port: number };
    journal(`listening-on-${address.port}`);
    process.send!({ kind: 'listening', port: address.port });
  });
}
