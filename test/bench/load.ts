/**
 * Asks and times, in a process of its own: started by generator.ts and told of one plan at a time.
 *
 * It speaks HTTP/1.1 over bare sockets, because it shares the machine with what it measures: Node's own client takes as
 * much processor time for a request as a gateway does.
 */
import { connect, type Socket } from 'node:net';

export interface LoadPlan {
  readonly url: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** A text of the body in whose place each request has a number, as long as the text: then no two are alike. */
  readonly numbered?: string;
  readonly clients: number;
  /** Ends after so many requests or so long, whichever is first. */
  readonly requestsMax: number;
  readonly durationMs: number;
  /** Requests that begin before this are asked and not counted. */
  readonly settleMs: number;
  /** Absent: each client asks again as soon as it has its answer. */
  readonly ratePerSecond?: number | undefined;
  readonly timeoutMs: number;
  /** The first of the answer that counts as its first token. */
  readonly first: string;
  readonly status?: number;
  /** Each has to be in the answer. */
  readonly expected: readonly string[];
}

export interface LoadReport {
  readonly answered: number;
  readonly failed: number;
  /** The first few. */
  readonly failures: readonly string[];
  /** From the first request that counts to the last answer. */
  readonly elapsedMs: number;
  readonly firstMs: Float64Array;
  readonly wholeMs: Float64Array;
  /** Of an answer, for whoever wants to see one. */
  readonly sample: string;
}

const FAILURES_TOLD_MAX = 5;

/** One connection, on which one request at a time is asked. */
class Client {
  #socket: Socket | undefined;
  #received = '';
  #firstMs: number | undefined;
  #settle: ((failure?: string) => void) | undefined;
  readonly #plan: LoadPlan;
  readonly #request: Buffer;
  readonly #numberAt: number;

  constructor(plan: LoadPlan) {
    this.#plan = plan;
    const { host } = new URL(plan.url);
    const headers = {
      host,
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(plan.body),
      ...plan.headers,
    };
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    this.#request = Buffer.from(`POST ${plan.path} HTTP/1.1\r\n${lines.join('')}\r\n${plan.body}`);
    this.#numberAt = plan.numbered === undefined ? 0 : this.#request.indexOf(plan.numbered);
  }

  get received(): string {
    return this.#received;
  }

  /** When the first token came, on the clock of `performance.now()`. */
  get firstMs(): number | undefined {
    return this.#firstMs;
  }

  /** @returns why it failed; undefined when it was answered as it should. */
  ask(number: number): Promise<string | undefined> {
    const { numbered } = this.#plan;
    // Written over the last request's, which is gone: a client asks one thing at a time, and small writes are not put off.
    if (numbered !== undefined) this.#request.write(String(number).padStart(numbered.length, '0'), this.#numberAt);
    this.#received = '';
    this.#firstMs = undefined;
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#fail(`no answer within ${this.#plan.timeoutMs} ms`), this.#plan.timeoutMs);
      this.#settle = (failure) => {
        clearTimeout(timer);
        this.#settle = undefined;
        resolve(failure);
      };
      this.#connection().write(this.#request);
    });
  }

  close(): void {
    this.#socket?.destroy();
    this.#socket = undefined;
  }

  #connection(): Socket {
    if (this.#socket !== undefined) return this.#socket;
    const { hostname, port } = new URL(this.#plan.url);
    const socket = connect({ host: hostname, port: Number(port), noDelay: true });
    socket.setEncoding('latin1');
    // What a connection says that we have left is not about the request that runs now.
    const ours = () => this.#socket === socket;
    socket.on('data', (text: string) => ours() && this.#read(text));
    socket.on('error', (error) => ours() && this.#fail(error.message));
    socket.on('close', () => ours() && this.#fail('the connection was closed'));
    this.#socket = socket;
    return socket;
  }

  #fail(why: string): void {
    this.close();
    this.#settle?.(why);
  }

  #read(text: string): void {
    this.#received += text;
    if (this.#firstMs === undefined && this.#received.includes(this.#plan.first)) this.#firstMs = performance.now();
    if (!isComplete(this.#received)) return;
    const settle = this.#settle;
    if (/^connection: close\r$/im.test(this.#received.slice(0, this.#received.indexOf('\r\n\r\n') + 2))) this.close();
    settle?.(this.#flaw());
  }

  #flaw(): string | undefined {
    const isRight =
      this.#received.startsWith(`HTTP/1.1 ${this.#plan.status ?? 200}`) &&
      this.#plan.expected.every((each) => this.#received.includes(each));
    return isRight ? undefined : `not what was expected: ${this.#received.slice(0, 600)}`;
  }
}

/** Whether a whole response has come. Bodies of ours never hold what ends a chunked one. */
function isComplete(received: string): boolean {
  if (received.endsWith('\r\n0\r\n\r\n')) return true;
  const headersEnd = received.indexOf('\r\n\r\n');
  if (headersEnd === -1) return false;
  const length = /^content-length: *(\d+)\r$/im.exec(received.slice(0, headersEnd + 2))?.[1];
  return length !== undefined && received.length >= headersEnd + 4 + Number(length);
}

/** When the next request is due: at once, or as the rate says. Undefined when it is time to stop. */
type Due = () => number | undefined;

async function carryOut(plan: LoadPlan): Promise<LoadReport> {
  const startMs = performance.now();
  const [countFromMs, endMs] = [startMs + plan.settleMs, startMs + plan.settleMs + plan.durationMs];
  const [firstMs, wholeMs, failures]: [number[], number[], string[]] = [[], [], []];
  let [asked, counted, failed, lastMs, sample, turn] = [0, 0, 0, countFromMs, '', 0];
  const due: Due = () => {
    const dueMs =
      plan.ratePerSecond === undefined ? performance.now() : startMs + (turn++ / plan.ratePerSecond) * 1_000;
    if (dueMs >= endMs || counted >= plan.requestsMax) return undefined;
    if (dueMs >= countFromMs) counted++;
    return dueMs;
  };
  const run = async (client: Client) => {
    for (let dueMs = due(); dueMs !== undefined; dueMs = due()) {
      const pauseMs = dueMs - performance.now();
      if (pauseMs > 0) await new Promise((wake) => setTimeout(wake, pauseMs));
      // At a rate, who comes late because nobody was free has waited since it was due. Timers come up to a millisecond late.
      const askedMs = plan.ratePerSecond === undefined || pauseMs > 0 ? performance.now() : dueMs;
      const failure = await client.ask(asked++);
      if (failure !== undefined) {
        failed++;
        if (failures.length < FAILURES_TOLD_MAX) failures.push(failure);
        if (failed > plan.clients * 10) return; // Nothing to be measured here.
        continue;
      }
      if (dueMs < countFromMs) continue;
      lastMs = performance.now();
      wholeMs.push(lastMs - askedMs);
      firstMs.push((client.firstMs ?? lastMs) - askedMs);
      sample = client.received;
    }
  };
  const clients = Array.from({ length: plan.clients }, () => new Client(plan));
  await Promise.all(clients.map(run));
  for (const client of clients) client.close();
  const elapsedMs = lastMs - countFromMs;
  const times = { firstMs: Float64Array.from(firstMs), wholeMs: Float64Array.from(wholeMs) };
  return { answered: wholeMs.length, failed, failures, elapsedMs, ...times, sample };
}

process.on('message', (plan: LoadPlan) => {
  void carryOut(plan).then((report) => process.send?.({ kind: 'report', report }));
});
process.send?.({ kind: 'listening', port: 0 });
// Nobody is left to be told.
process.once('disconnect', () => process.exit());
