import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { connect as connectPlain, type Socket } from 'node:net';
import { type ConnectionOptions, connect, getCACertificates, setDefaultCACertificates, type TLSSocket } from 'node:tls';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { CertificateFolder, type Pair, TestAuthority } from '../../../libs/runtime/src/certificates.testing.js';
import { rawExchange, TestBed } from './gateway.testing.js';

const HOUR_MS = 3_600_000;
/** On a machine that has much else to do. */
const SOON = { timeout: 10_000 };

describe('a gateway with a certificate', () => {
  let authority: TestAuthority;
  let [one, other]: Pair[] = [];
  let folder: CertificateFolder;

  beforeAll(async () => {
    authority = await TestAuthority.make();
    [one, other] = [await authority.sign('one'), await authority.sign('other')];
    // What `fetch`, and the official client on it, trust in this process.
    setDefaultCACertificates([...getCACertificates('default'), authority.cert]);
  });
  beforeEach(() => {
    folder = new CertificateFolder();
  });
  afterEach(() => folder[Symbol.dispose]());

  const start = async (pair: Pair, settings: object = {}, worker: object = {}) => {
    const { certFile, keyFile } = folder.writePair('server', pair);
    return TestBed.start({ 'tls.certFile': certFile, 'tls.keyFile': keyFile, ...settings }, [worker], false);
  };
  const secured = async ({ gateway }: TestBed, options: ConnectionOptions = {}): Promise<TLSSocket> => {
    const socket = connect({ port: gateway.port, host: '127.0.0.1', ca: authority.cert, ...options });
    socket.on('error', () => undefined);
    await once(socket, 'secureConnect');
    return socket;
  };
  const shown = async (bed: TestBed): Promise<string> => {
    const socket = await secured(bed);
    const { subject } = socket.getPeerCertificate();
    socket.destroy();
    return String(subject.CN);
  };
  const readyz = async (bed: TestBed) =>
    (await (await fetch(`${bed.url}/readyz`)).json()) as { degraded?: { part: string; detail: string }[] };
  const metric = async (bed: TestBed, line: string): Promise<number> => {
    const page = await (await fetch(`${bed.url}/metrics`, { headers: { connection: 'close' } })).text();
    return Number(
      page
        .split('\n')
        .find((one) => one.startsWith(line))
        ?.split(' ')
        .at(-1) ?? 0,
    );
  };
  const handshakeLines = ({ log }: TestBed) => log.filter(({ msg }) => msg === 'TLS handshakes failed');

  it('answers the official client by HTTPS, whole and streamed', async () => {
    await using bed = await start(one!);
    await bed.ready();
    const messages = [{ role: 'user' as const, content: 'one two three' }];
    const whole = await bed.client.chat.completions.create({ model: 'demo', messages });
    expect(whole.choices[0]?.message.content).toBe('one two three');
    let text = '';
    for await (const chunk of await bed.client.chat.completions.create({ model: 'demo', messages, stream: true }))
      text += chunk.choices[0]?.delta.content ?? '';
    expect(text).toBe('one two three');
  });

  it('takes up a new certificate while a stream runs, which goes on unbroken', async () => {
    await using bed = await start(one!, {}, { script: () => ({ endless: 'more ' }), stepMs: 5 });
    await bed.ready();
    const agent = new Agent({ ca: authority.cert, maxSockets: 1 });
    const asked = request(`${bed.url}/v1/chat/completions`, {
      method: 'POST',
      agent,
      headers: { 'content-type': 'application/json' },
    });
    asked.end(JSON.stringify({ messages: [{ role: 'user', content: 'go on' }], stream: true }));
    const [answer] = await once(asked, 'response');
    let received = '';
    answer.setEncoding('utf8').on('data', (data: string) => {
      received += data;
    });
    await expect.poll(() => received.length, SOON).toBeGreaterThan(500);
    expect(await shown(bed)).toBe('one');
    folder.writePair('server', other!);
    await expect.poll(() => shown(bed), { timeout: 10_000 }).toBe('other');
    const before = received.length;
    await expect.poll(() => received.length, SOON).toBeGreaterThan(before + 500);
    expect(received).not.toContain('"error"');
    expect(answer.complete).toBe(false);
    asked.destroy();
    agent.destroy();
  });

  it('keeps its certificate when a broken one takes its place, and says why', async () => {
    await using bed = await start(one!);
    await bed.ready();
    expect((await readyz(bed)).degraded).toBeUndefined();
    folder.write('server.pem', 'not a certificate');
    await expect
      .poll(async () => (await readyz(bed)).degraded, { timeout: 10_000 })
      .toEqual([{ part: 'tls', detail: expect.stringContaining('server.pem (tls.certFile) holds no certificate') }]);
    expect(await shown(bed)).toBe('one');
  });

  it('goes on serving when its certificate expires while it runs, and takes the next one', async () => {
    const brief = await authority.sign('brief', { fromMs: -HOUR_MS, toMs: 6_000 });
    await using bed = await start(brief);
    await bed.ready();
    const held = await secured(bed);
    await expect
      .poll(() => bed.log.find(({ level }) => level === 'error')?.msg, { timeout: 10_000 })
      .toContain('is expired since');
    await expect(shown(bed)).rejects.toThrow('certificate has expired');
    // Whoever was connected is still answered, and reads what is wrong.
    let said = '';
    held.setEncoding('utf8').on('data', (data) => {
      said += data;
    });
    held.write('GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n');
    await expect.poll(() => said, SOON).toContain('"part":"tls"');
    folder.writePair('server', one!);
    await expect.poll(() => shown(bed).catch(() => undefined), { timeout: 10_000 }).toBe('one');
    expect((await readyz(bed)).degraded).toBeUndefined();
    held.destroy();
  });

  it('tells who speaks plain HTTP to write https', async () => {
    await using bed = await start(one!);
    const answer = await rawExchange(bed.gateway.port, 'GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
    expect(JSON.parse(answer.slice(answer.indexOf('{')))).toMatchObject({
      error: { message: expect.stringContaining('Write https:// in place of http://'), code: expect.any(String) },
    });
    expect(await metric(bed, 'millrace_failed_handshakes_total{reason="plain_http"')).toBe(1);
  });

  it('survives garbage by the hundred, counts it, and tells of it in one line', async () => {
    await using bed = await start(one!);
    const garbage = ['\x16\x03\x01\x02\x00', 'SSH-2.0-x\r\n', '\0'.repeat(500), '\x80\x2e\x01\x00\x02'];
    const packets = Array.from({ length: 200 }, (_, at) => garbage[at % garbage.length]!);
    const sockets = await Promise.all(
      packets.map(async (packet) => {
        const socket = connectPlain(bed.gateway.port, '127.0.0.1');
        socket.on('error', () => undefined);
        await once(socket, 'connect');
        return socket.end(packet);
      }),
    );
    await Promise.all(sockets.map((socket) => socket.closed || once(socket, 'close')));
    expect((await fetch(`${bed.url}/healthz`)).status).toBe(200);
    expect(await metric(bed, 'millrace_failed_handshakes_total{reason="other"')).toBeGreaterThan(100);
    expect(handshakeLines(bed).length).toBeLessThan(3);
    await expect.poll(() => metric(bed, 'millrace_connections'), SOON).toBeLessThan(5);
  });

  it('ends who does not shake hands in time, and who does and then asks nothing', async () => {
    await using bed = await start(one!, { bodyTimeoutMs: 300 });
    const standing = connectPlain(bed.gateway.port, '127.0.0.1');
    const asking = await secured(bed);
    asking.resume();
    await Promise.all([once(standing.resume(), 'close'), once(asking, 'close')]);
    expect(await metric(bed, 'millrace_failed_handshakes_total{reason="timeout"')).toBe(1);
  });

  it('refuses connections above connectionsMax, and counts those that are gone as gone', async () => {
    await using bed = await start(one!, { connectionsMax: 10 });
    const sockets = await Promise.all(
      Array.from({ length: 30 }, async () => {
        const socket = connect({ port: bed.gateway.port, host: '127.0.0.1', ca: authority.cert });
        socket.on('error', () => undefined);
        await new Promise((settled) => socket.once('secureConnect', settled).once('close', settled));
        return socket;
      }),
    );
    await expect.poll(() => sockets.filter(({ closed }) => closed).length, SOON).toBeGreaterThanOrEqual(20);
    for (const socket of sockets) socket.destroy();
    await expect.poll(() => metric(bed, 'millrace_refused_connections_total'), SOON).toBeGreaterThanOrEqual(20);
    await expect.poll(() => metric(bed, 'millrace_connections'), SOON).toBeLessThan(4);
  });

  it('ends a client that reads nothing of its answer', async () => {
    const long = 'long '.repeat(400_000); // More than the system keeps for a socket, ten times over.
    await using bed = await start(
      one!,
      { clientStallTimeoutMs: 500 },
      { script: () => ({ answer: Array(10).fill(long) }) },
    );
    // By connections that end with their answer: those that are open are counted.
    await expect.poll(() => metric(bed, 'millrace_workers{phase="ready"'), { timeout: 8_000 }).toBe(1);
    const others = () => metric(bed, 'millrace_connections').then((open) => open - 1);
    const socket = await secured(bed);
    const body = JSON.stringify({ messages: [{ role: 'user', content: 'long' }] });
    socket.write(
      `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
    socket.pause();
    expect(await others()).toBe(1);
    await expect.poll(others, { timeout: 15_000 }).toBe(0);
    let received = 0;
    socket.on('data', ({ length }) => {
      received += length;
    });
    socket.resume();
    await new Promise((closed) => socket.once('close', closed));
    expect(received).toBeGreaterThan(0);
    expect(received).toBeLessThan(10 * long.length);
    socket.destroy();
  });

  it('speaks nothing older than TLS 1.2, and HTTP/1.1 where HTTP/2 is offered as well', async () => {
    await using bed = await start(one!);
    const versions = async (version: 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3') =>
      (await secured(bed, { minVersion: version, maxVersion: version, ciphers: 'DEFAULT:@SECLEVEL=0' })).getProtocol();
    await expect(versions('TLSv1.1')).rejects.toThrow(/protocol version/i);
    expect(await versions('TLSv1.2')).toBe('TLSv1.2');
    expect(await versions('TLSv1.3')).toBe('TLSv1.3');
    expect((await secured(bed, { ALPNProtocols: ['h2', 'http/1.1'] })).alpnProtocol).toBe('http/1.1');
  });

  it('still knows names that can not mean this machine', async () => {
    await using bed = await start(one!);
    const socket = await secured(bed);
    socket.write('GET /admin/keys HTTP/1.1\r\nhost: evil.example.com\r\nconnection: close\r\n\r\n');
    const [answer] = await once(socket.setEncoding('utf8'), 'data');
    expect(answer).toMatch(/^HTTP\/1\.1 4\d\d/);
  });

  it('stops although somebody is in the midst of a handshake', async () => {
    const bed = await start(one!);
    const standing: Socket = connectPlain(bed.gateway.port, '127.0.0.1');
    standing.on('error', () => undefined);
    await once(standing, 'connect');
    await bed[Symbol.asyncDispose]();
    if (!standing.closed) await once(standing, 'close');
  });

  it('does not start with a key of another certificate, and says so', async () => {
    const { certFile } = folder.writePair('server', one!);
    const keyFile = folder.write('other-key.pem', other!.key);
    await expect(TestBed.start({ 'tls.certFile': certFile, 'tls.keyFile': keyFile })).rejects.toThrow(
      `The key in ${keyFile} (tls.keyFile) is not that of the certificate in ${certFile} (tls.certFile).`,
    );
    expect(readFileSync(keyFile, 'utf8')).toBe(other!.key);
  });

  it('says in a metric how long its certificate is valid', async () => {
    await using bed = await start(one!);
    const seconds = await metric(bed, 'millrace_tls_certificate_seconds{use="gateway"');
    expect(seconds).toBeGreaterThan(89 * 86_400);
    expect(seconds).toBeLessThanOrEqual(90 * 86_400);
  });
});
