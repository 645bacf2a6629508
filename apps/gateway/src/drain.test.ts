import { once } from 'node:events';
import { connect, Server as NetServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Start } from '@millrace/contracts/protocol';
import { describe, expect, it, vi } from 'vitest';
import { eventsOf, TestBed } from './gateway.testing.js';

const BODY = '{"messages":[{"role":"user","content":"one two three"}]}';
const CHAT = `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${BODY.length}\r\n\r\n${BODY}`;
const slow = { stepMs: 60, script: () => ({ answer: ['a ', 'b ', 'c ', 'd ', 'e'] }) };
/** A prompt with this word is held after its first token. */
const HELD = 'held';
const holding = {
  script: ({ prompt }: Start) => (JSON.stringify(prompt).includes(HELD) ? { heldAfterTokens: 1 } : {}),
};
const silent = { script: () => ({ silent: true as const }) };

/** A connection that is kept alive, and what came on it. */
class Line {
  received = '';
  closed = false;

  private constructor(private readonly socket: Socket) {
    socket.setEncoding('utf8');
    socket.on('data', (data) => {
      this.received += data;
    });
    socket.on('close', () => {
      this.closed = true;
    });
  }

  static async open(port: number): Promise<Line> {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    return new Line(socket);
  }

  say(text: string): void {
    this.socket.write(text);
  }

  get answers(): number {
    return this.received.split('HTTP/1.1 200').length - 1;
  }

  get goodbyes(): number {
    return this.received.split(/\r\nconnection: close\r\n/i).length - 1;
  }
}

describe('a gateway that is asked to stop, for drainDelayMs', () => {
  it('says at /readyz that it stops, and otherwise goes on, on new connections too', async () => {
    await using bed = await TestBed.start({ drainDelayMs: 2_000 });
    const drained = bed.gateway.drain();
    const ready = await fetch(`${bed.url}/readyz`);
    expect(ready.status).toBe(503);
    expect(await ready.json()).toMatchObject({ reason: expect.stringContaining('stopping') });
    expect((await fetch(`${bed.url}/healthz`)).status).toBe(200);
    const line = await Line.open(bed.gateway.port);
    line.say(CHAT);
    await expect.poll(() => line.answers).toBe(1);
    await drained;
    await expect(fetch(`${bed.url}/healthz`)).rejects.toThrow();
  });

  it('closes each connection with its next answer, and says so', async () => {
    await using bed = await TestBed.start({ drainDelayMs: 1_500, drainTimeoutMs: 0 });
    const line = await Line.open(bed.gateway.port);
    line.say(CHAT);
    await expect.poll(() => line.answers).toBe(1);
    expect([line.goodbyes, line.closed]).toEqual([0, false]);
    void bed.gateway.drain();
    line.say(CHAT);
    await expect.poll(() => line.closed).toBe(true);
    expect([line.answers, line.goodbyes]).toEqual([2, 1]);
    // Streams that had not begun when it was asked to stop say it too.
    const stream = await bed.chat({ stream: true });
    expect(stream.headers.get('connection')).toBe('close');
    await stream.text();
  });

  it('answers all that was sent at once on one connection, and closes with the last', async () => {
    await using bed = await TestBed.start({ drainDelayMs: 1_500, drainTimeoutMs: 0 }, [slow]);
    const line = await Line.open(bed.gateway.port);
    line.say(CHAT + CHAT);
    await expect.poll(() => bed.worker.started.length).toBe(2);
    void bed.gateway.drain();
    line.say(CHAT + CHAT);
    await expect.poll(() => line.closed).toBe(true);
    expect([line.answers, line.goodbyes]).toEqual([4, 1]);
  });
});

describe('a gateway that is asked to stop, after drainDelayMs', () => {
  it('answers what comes on connections that idled, for as long as another answer runs', async () => {
    await using bed = await TestBed.start({ drainTimeoutMs: 20_000 }, [holding]);
    const idle = await Line.open(bed.gateway.port);
    idle.say(CHAT);
    await expect.poll(() => idle.answers).toBe(1);
    const running = await bed.chat({ stream: true, messages: [{ role: 'user', content: `${HELD} back` }] });
    const drained = bed.gateway.drain();
    await refusesConnections(bed.url);
    idle.say(CHAT);
    await expect.poll(() => idle.closed).toBe(true);
    expect([idle.answers, idle.goodbyes]).toEqual([2, 1]);
    bed.worker.release();
    expect((await eventsOf(running)).at(-1)).toBe('data: [DONE]');
    await drained;
  });

  it('waits for drainDelayMs more whether anything comes on a connection whose stream ended late', async () => {
    await using bed = await TestBed.start({ drainDelayMs: 1_500, drainTimeoutMs: 20_000 }, [holding]);
    const line = await Line.open(bed.gateway.port);
    const streamed = BODY.replace('{"', '{"stream":true,"').replace('one', HELD);
    line.say(CHAT.replace(BODY, streamed).replace(`${BODY.length}`, `${streamed.length}`));
    await expect.poll(() => line.received).toContain('data: ');
    const drained = bed.gateway.drain();
    await refusesConnections(bed.url);
    bed.worker.release();
    await expect.poll(() => line.received).toContain('[DONE]');
    await sleep(50);
    expect(line.closed).toBe(false);
    line.say(CHAT);
    await expect.poll(() => line.closed).toBe(true);
    expect([line.answers, line.goodbyes]).toEqual([2, 1]);
    await drained;
  });

  it('waits for the rest of a request of which a part has come', async () => {
    await using bed = await TestBed.start({ drainTimeoutMs: 20_000 });
    const [headers, body] = [await Line.open(bed.gateway.port), await Line.open(bed.gateway.port)];
    headers.say(CHAT.slice(0, 30));
    body.say(CHAT.slice(0, -5));
    await sleep(50);
    const drained = bed.gateway.drain();
    await sleep(50);
    headers.say(CHAT.slice(30));
    body.say(CHAT.slice(-5));
    await drained;
    expect([headers.answers, body.answers]).toEqual([1, 1]);
  });

  it('loses no request that comes in the very moment in which it stops to listen, on connections that are kept', async () => {
    await using bed = await TestBed.start({ drainDelayMs: 200, drainTimeoutMs: 20_000 });
    const lines = await Promise.all(Array.from({ length: 16 }, () => Line.open(bed.gateway.port)));
    for (const line of lines) line.say(CHAT);
    await expect.poll(() => lines.every(({ answers }) => answers === 1)).toBe(true);
    // Written at once, so that it is on its way before anybody could hear of a close.
    using _ = afterClose(() => {
      for (const line of lines) line.say(CHAT);
    });
    await bed.gateway.drain();
    await expect.poll(() => lines.every(({ closed }) => closed)).toBe(true);
    expect(lines.map(({ answers, goodbyes }) => [answers, goodbyes])).toEqual(Array(16).fill([2, 1]));
  });

  it('loses no request of clients that look elsewhere within drainDelayMs, on connections that are new', async () => {
    await using bed = await TestBed.start({ drainDelayMs: 500, drainTimeoutMs: 20_000 });
    const drained = bed.gateway.drain();
    const endMs = performance.now() + 300;
    const statuses: number[] = [];
    const client = async (index: number) => {
      while (performance.now() < endMs) {
        const response = await bed.chat({ stream: index % 2 === 0 });
        statuses.push(response.status);
        await response.text();
      }
    };
    await Promise.all(Array.from({ length: 16 }, (_, index) => client(index)));
    await drained;
    expect(statuses.length).toBeGreaterThanOrEqual(16);
    expect(new Set(statuses)).toEqual(new Set([200]));
  });
});

describe('a gateway whose drainTimeoutMs is over', () => {
  it('ends a stream with an error event that says so, and no [DONE]', async () => {
    const script = () => ({ answer: ['a ', 'b '], silent: true as const });
    await using bed = await TestBed.start({ drainTimeoutMs: 100, statusHoldMs: 20 }, [{ script }]);
    const streams = await Promise.all([bed.chat({ stream: true }), bed.chat({ stream: true })]);
    const drained = bed.gateway.drain();
    for (const stream of streams) {
      const last = (await eventsOf(stream)).at(-1)!;
      expect(JSON.parse(last.slice('data: '.length))).toMatchObject({
        error: { code: 'shutting_down', message: expect.stringContaining('before the answer was complete') },
      });
    }
    await drained;
    expect(bed.records()).toMatchObject(Array(2).fill({ outcome: 'failed', code: 'shutting_down', status: 503 }));
  });

  it('answers whole answers with an ordinary error, which clients send again', async () => {
    await using bed = await TestBed.start({ drainTimeoutMs: 100 }, [silent]);
    const whole = bed.chat();
    await expect.poll(() => bed.worker.started.length).toBe(1);
    const drained = bed.gateway.drain();
    const response = await whole;
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '1']);
    expect(await response.json()).toMatchObject({ error: { code: 'shutting_down' } });
    await drained;
    expect(bed.worker.started).toHaveLength(1); // It is not asked again on behalf of who is gone.
  });

  it('says so as well to who is still sending', async () => {
    await using bed = await TestBed.start({ drainTimeoutMs: 100 });
    const line = await Line.open(bed.gateway.port);
    line.say(CHAT.slice(0, -5));
    await sleep(50);
    await bed.gateway.drain();
    await expect.poll(() => line.received).toMatch(/^HTTP\/1\.1 503 [\s\S]*"code":"shutting_down"/);
  });
});

/** Has `act` happen as soon as a server stops to listen, in the same turn of the event loop. */
function afterClose(act: () => void): Disposable {
  const { close } = NetServer.prototype;
  const spy = vi.spyOn(NetServer.prototype, 'close').mockImplementation(function (this: NetServer, ...args) {
    spy.mockRestore();
    close.apply(this, args);
    act();
    return this;
  });
  return { [Symbol.dispose]: () => spy.mockRestore() };
}

/** Resolves when no new connection is taken. */
async function refusesConnections(url: string): Promise<void> {
  const isOpen = () =>
    fetch(`${url}/healthz`).then(
      () => true,
      () => false,
    );
  await expect.poll(isOpen).toBe(false);
}
