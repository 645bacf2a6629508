import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { rawExchange, TestBed } from './gateway.testing.js';
import { scrapedMetric } from './scraped-metric.testing.js';

const health = 'GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n';
const lastHealth = 'GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n';
const chatOf = (body: string) =>
  `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
const statuses = (answers: string) => [...answers.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status);

/** Connected, and whatever is told of it later remembered. */
async function opened(port: number): Promise<Socket & { said: string }> {
  const socket = Object.assign(connect(port, '127.0.0.1'), { said: '' });
  socket.setEncoding('utf8').on('data', (data) => {
    socket.said += data;
  });
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

describe('many connections', () => {
  it('above connectionsMax are closed unanswered, counted, and told of once', async () => {
    await using bed = await TestBed.start({ connectionsMax: 20 });
    const sockets = await Promise.all(Array.from({ length: 60 }, () => opened(bed.gateway.port)));
    await expect.poll(() => sockets.filter(({ closed }) => closed).length).toBeGreaterThanOrEqual(40);
    expect(sockets.map(({ said }) => said).join('')).toBe('');
    const open = sockets.filter(({ closed }) => !closed);
    expect(open.length).toBeGreaterThan(10);
    open[0]!.write(lastHealth); // Whoever came in is answered all the while.
    await once(open[0]!, 'close');
    expect(open[0]!.said).toMatch(/^HTTP\/1\.1 200/);
    for (const socket of open) socket.destroy();
    await expect.poll(() => scrapedMetric(bed.url, 'millrace_refused_connections_total')).toBeGreaterThanOrEqual(40);
    await expect.poll(() => scrapedMetric(bed.url, 'millrace_connections')).toBeLessThan(10);
    const told = bed.log.filter(({ msg }) => msg === 'connections are refused: connectionsMax are open');
    expect(told).toMatchObject([{ level: 'warn', connectionsMax: 20 }]);
  });

  it('that idle after an answer give way to new ones', async () => {
    await using bed = await TestBed.start({ connectionsMax: 20 });
    const idle = await Promise.all(Array.from({ length: 19 }, () => opened(bed.gateway.port)));
    for (const socket of idle) socket.write(health);
    await expect.poll(() => idle.every(({ said }) => said.includes('"ok"'))).toBe(true);
    // One after another, as people come: none of them is turned away.
    for (let guest = 0; guest < 40; guest++) {
      const socket = await opened(bed.gateway.port);
      socket.write(health);
      await expect.poll(() => socket.said, { interval: 2 }).toMatch(/^HTTP\/1\.1 200/);
      socket.destroy();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(idle.filter(({ closed }) => closed).length).toBeGreaterThan(10);
    expect(await scrapedMetric(bed.url, 'millrace_refused_connections_total')).toBe(0);
  });

  it('that never say anything are ended after bodyTimeoutMs', async () => {
    await using bed = await TestBed.start({ bodyTimeoutMs: 300 });
    const silent = await Promise.all(Array.from({ length: 200 }, () => opened(bed.gateway.port)));
    await expect.poll(() => silent.every(({ closed }) => closed), { timeout: 5_000 }).toBe(true);
    expect(await scrapedMetric(bed.url, 'millrace_connections')).toBeLessThan(10);
  });
});

describe('a slow-loris', () => {
  /** A byte each time, until the other side has had enough. */
  async function dripped(bed: TestBed, start: string, everyMs = 30): Promise<string> {
    const socket = await opened(bed.gateway.port);
    socket.write(start);
    const drip = setInterval(() => socket.write('x'), everyMs);
    await once(socket, 'close');
    clearInterval(drip);
    return socket.said;
  }

  it('that sends its headers a byte at a time gets a 408, though it never pauses', async () => {
    await using bed = await TestBed.start({ bodyTimeoutMs: 300 });
    expect(await dripped(bed, 'GET /healthz HTTP/1.1\r\nhost: x\r\nx: ')).toMatch(/^HTTP\/1\.1 408 /);
  });

  it('that sends its body a byte at a time gets a 408, and others are answered meanwhile', async () => {
    await using bed = await TestBed.start({ bodyTimeoutMs: 300 });
    const head =
      'POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9999\r\n\r\n';
    const all = Promise.all(Array.from({ length: 100 }, () => dripped(bed, head)));
    expect((await bed.chat()).status).toBe(200);
    expect((await all).map((said) => statuses(said))).toEqual(new Array(100).fill(['408']));
    expect(bed.worker.started).toHaveLength(1);
  });

  it('that sends a chunk of a byte at a time is stopped as well', async () => {
    await using bed = await TestBed.start({ bodyTimeoutMs: 300 });
    const socket = await opened(bed.gateway.port);
    socket.write(
      'POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n',
    );
    const drip = setInterval(() => socket.write('1\r\n \r\n'), 30);
    await once(socket, 'close');
    clearInterval(drip);
    expect(statuses(socket.said)).toEqual(['408']);
  });
});

describe('requests that do not await their answers', () => {
  it('are answered in their order, a thousand on one connection', async () => {
    await using bed = await TestBed.start({ maxQueueDepth: 1_000 });
    const bodies = Array.from({ length: 1_000 }, (_, index) =>
      index % 2 ? `{"messages":[{"role":"user","content":"n${index}"}]}` : '{"messages":[]}',
    );
    const said = await rawExchange(bed.gateway.port, `${bodies.map(chatOf).join('')}${lastHealth}`);
    const expected = bodies.map((_, index) => (index % 2 ? '200' : '400'));
    expect(statuses(said)).toEqual([...expected, '200']);
    const order = [...said.matchAll(/"content":"n(\d+)/g)].map(([, index]) => Number(index));
    expect(order).toEqual(bodies.map((_, index) => index).filter((index) => index % 2));
  });
});

describe('an answer that takes longer than a client may leave one unread', () => {
  it('is waited for, whatever else was asked on its connection before or behind it', async () => {
    const script = () => ({ answer: ['a', 'b', 'c', 'd', 'e', 'f'] });
    await using bed = await TestBed.start({ clientStallTimeoutMs: 200 }, [{ stepMs: 150, script }]);
    const slow = chatOf('{"messages":[{"role":"user","content":"x"}]}');
    const refused = chatOf('{"messages":[]}');
    const said = await rawExchange(bed.gateway.port, refused + slow + refused + slow + lastHealth);
    expect(statuses(said)).toEqual(['400', '200', '400', '200', '200']);
  });
});

describe('a connection of which one half is closed', () => {
  it('is that of a client that left, since who leaves looks the same: its place is free', async () => {
    await using bed = await TestBed.start({}, [{ script: () => ({ silent: true }) }]);
    const socket = await opened(bed.gateway.port);
    socket.write(chatOf('{"messages":[{"role":"user","content":"a b c"}]}'));
    await expect.poll(() => bed.worker.started.length).toBe(1);
    socket.end();
    await once(socket, 'close');
    await expect.poll(() => bed.worker.cancelled.length).toBe(1);
    expect(bed.records()).toMatchObject([{ outcome: 'cancelled', code: 'client_closed_request' }]);
  });

  it('in the middle of its body is a 400 or nothing, reaches no worker and leaves nothing open', async () => {
    await using bed = await TestBed.start();
    const socket = await opened(bed.gateway.port);
    socket.end(chatOf('{"messages":[{"role":"user","content":"a b c"}]}').slice(0, -5));
    await once(socket, 'close');
    expect(['400', undefined]).toContain(statuses(socket.said)[0]);
    expect(bed.worker.started).toEqual([]);
    await expect.poll(() => scrapedMetric(bed.url, 'millrace_connections')).toBeLessThan(5);
  });
});
