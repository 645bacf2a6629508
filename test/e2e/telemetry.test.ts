import type OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Stage } from '../bench/programs.ts';
import { Fleet } from '../chaos/fleet.ts';
import { RealRedis } from '../services/real-redis.ts';
import { findProgram } from '../services/real-service.ts';
import { type CollectedSpan, Collector } from './collector.ts';
import { type Stack, startStack } from './stack.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const PARENT = '00f067aa0ba902b7';
const HAS_REDIS = findProgram('redis-server', ['/usr/bin']) !== undefined;
/** An answer that goes on for long, whoever gives it. */
const LONG = {
  type: 'json_schema',
  json_schema: { name: 'long', schema: { type: 'array', minItems: 400, maxItems: 400, items: { type: 'boolean' } } },
};
/** Whether it is read or not, each test has a trace of its own. */
let traces = 0;

function traced(flags = '01'): { id: string; headers: Record<string, string> } {
  const id = `${TRACE.slice(0, -4)}${(++traces).toString(16).padStart(4, '0')}`;
  return { id, headers: { traceparent: `00-${id}-${PARENT}-${flags}`, tracestate: 'vendor=1' } };
}

async function chat(url: string, headers: Record<string, string>, fields: object = {}): Promise<Response> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-millrace-cache': 'off', ...headers },
    body: JSON.stringify({
      messages: [{ role: 'user', content: 'The secret word is plum.' }],
      max_tokens: 8,
      ...fields,
    }),
  });
  await response.clone().text();
  return response;
}

/** The names of what lies directly below a span, in order. */
function partsOf(spans: readonly CollectedSpan[], whole: CollectedSpan | undefined): readonly string[] {
  return spans.filter(({ parentSpanId }) => parentSpanId === whole?.spanId).map(({ name }) => name);
}

/** What it looked for was looked for, and something was said after that. */
function wasAskedAgain({ output }: OpenAI.Responses.Response): boolean {
  const searched = output.findIndex((item) => item.type === 'file_search_call' && item.queries.length > 0);
  return searched !== -1 && output.slice(searched).some(({ type }) => type === 'message');
}

function only(spans: readonly CollectedSpan[], name: RegExp): CollectedSpan {
  const found = spans.filter((span) => name.test(span.name));
  expect(found, `spans called ${name} among ${spans.map((span) => span.name).join(', ')}`).toHaveLength(1);
  return found[0]!;
}

describe('a request of which a collector is told', () => {
  let collector: Collector;
  let stack: Stack;
  beforeAll(async () => {
    collector = await Collector.start();
    stack = await startStack({ environment: collector.environment, args: ['--log-format=json'] });
  });
  afterAll(async () => {
    await stack.stop();
    await collector[Symbol.asyncDispose]();
  });

  async function traceOf(id: string, ends: RegExp): Promise<readonly CollectedSpan[]> {
    await expect.poll(() => collector.trace(id).some(({ name }) => ends.test(name))).toBe(true);
    await expect.poll(() => collector.trace(id).some(({ name }) => name.startsWith('POST '))).toBe(true);
    return collector.trace(id);
  }

  it.each([false, true])(
    'is one trace, from its caller through the gateway to the worker (stream: %s)',
    async (stream) => {
      const { id, headers } = traced();
      const response = await chat(stack.url, headers, { stream });
      expect(response.status).toBe(200);
      const spans = await traceOf(id, /^answer /);
      const whole = only(spans, /^POST /);
      const attempt = only(spans, /^chat /);
      const answer = only(spans, /^answer /);
      expect(whole).toMatchObject({ name: 'POST /v1/chat/completions', kind: 2, parentSpanId: PARENT, failed: false });
      expect(partsOf(spans, whole)).toEqual(['validate', 'limit', 'admit', 'route', attempt.name]);
      expect(attempt.kind).toBe(3);
      expect(answer).toMatchObject({ service: 'millrace-worker', parentSpanId: attempt.spanId, kind: 2 });
      expect(partsOf(spans, answer)).toEqual(['wait', 'prefill', 'decode']);
      for (const { startMs, endMs } of spans) expect(endMs).toBeGreaterThanOrEqual(startMs);
      expect(attempt.startMs).toBeGreaterThanOrEqual(whole.startMs);
      expect(attempt.endMs).toBeLessThanOrEqual(whole.endMs);
      expect(attempt.attributes).toMatchObject({
        'gen_ai.operation.name': 'chat',
        'gen_ai.provider.name': 'millrace',
        'server.address': '127.0.0.1',
        'server.port': expect.any(Number),
        'gen_ai.response.finish_reasons': [expect.stringMatching(/^(stop|length)$/)],
        'gen_ai.request.max_tokens': 8,
        'gen_ai.usage.output_tokens': expect.any(Number),
        'gen_ai.response.time_to_first_chunk': expect.any(Number),
      });
      expect(whole.attributes).toMatchObject({ 'http.response.status_code': 200, 'millrace.outcome': 'served' });
    },
  );

  it('is found by the same id in the log, and nothing that it said is told to anybody', async () => {
    const { id, headers } = traced();
    await chat(stack.url, headers);
    const spans = await traceOf(id, /^answer /);
    await expect.poll(() => stack.output()).toContain(`"traceId":"${id}"`);
    expect(JSON.stringify(spans)).not.toContain('plum');
    expect(stack.output()).not.toContain('plum');
  });

  it('has an id of its own where its caller traces nothing', async () => {
    const response = await chat(stack.url, { 'x-request-id': 'untraced' });
    expect(response.status).toBe(200);
    const line = () =>
      stack
        .output()
        .split('\n')
        .find((text) => text.includes('"requestId":"untraced"'));
    await expect.poll(line).toMatch(/"traceId":"[0-9a-f]{32}"/);
    const { traceId } = JSON.parse(line()!) as { traceId: string };
    expect(only(await traceOf(traceId, /^answer /), /^POST /).parentSpanId).toBe('');
  });

  it('is not told of where its caller has decided that it is not', async () => {
    const skipped = traced('00');
    const told = traced();
    await chat(stack.url, skipped.headers);
    await chat(stack.url, told.headers);
    await traceOf(told.id, /^answer /);
    expect(collector.trace(skipped.id)).toEqual([]);
  });

  it('says why it was refused, and where', async () => {
    const { id, headers } = traced();
    const response = await chat(stack.url, headers, { max_tokens: -1 });
    expect(response.status).toBe(400);
    const spans = await traceOf(id, /^validate$/);
    // Not as one of the server's own failures: OpenTelemetry's conventions leave those to 5xx.
    expect(only(spans, /^POST /)).toMatchObject({
      failed: false,
      attributes: { 'http.response.status_code': 400, 'error.type': 'invalid_request', 'millrace.outcome': 'rejected' },
    });
    expect(spans).toHaveLength(2);
  });

  it('ends, with all its parts, when its reader leaves in the middle of the answer', async () => {
    const { id, headers } = traced();
    const leaving = new AbortController();
    const response = await fetch(`${stack.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-millrace-cache': 'off', ...headers },
      body: JSON.stringify({ messages: [{ role: 'user', content: 'plum' }], stream: true, response_format: LONG }),
      signal: leaving.signal,
    });
    await response.body!.getReader().read();
    leaving.abort();
    const spans = await traceOf(id, /^decode$/);
    const left = { failed: false, attributes: { 'error.type': 'client_closed_request' } };
    expect(only(spans, /^POST /)).toMatchObject({ ...left, attributes: { 'millrace.outcome': 'cancelled' } });
    expect(only(spans, /^chat /)).toMatchObject(left);
    expect(only(spans, /^answer /)).toMatchObject({
      failed: false,
      attributes: { 'gen_ai.response.finish_reasons': ['cancelled'] },
    });
  });

  it('tells of embeddings, too', async () => {
    const { id, headers } = traced();
    const response = await fetch(`${stack.url}/v1/embeddings`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ model: 'millrace-demo-embed', input: 'plum' }),
    });
    expect(await response.json()).toMatchObject({ object: 'list' });
    const spans = await traceOf(id, /^work /);
    expect(only(spans, /^work /)).toMatchObject({ parentSpanId: only(spans, /^embeddings /).spanId });
  });

  it('is one trace also where its model looks into files, and is asked again with what it found', async () => {
    const client = stack.client();
    const file = await client.files.create({
      purpose: 'assistants',
      file: new File(['Anna has a red bicycle.'], 'anna.txt'),
    });
    const store = await client.vectorStores.create({ file_ids: [file.id] });
    await expect
      .poll(async () => (await client.vectorStores.retrieve(store.id)).status, { timeout: 20_000 })
      .toBe('completed');
    const tools = [{ type: 'file_search' as const, vector_store_ids: [store.id] }];
    const ask = (temperature: number) =>
      client.responses
        .create({ model: 'millrace-demo', input: 'What does Anna have?', tools, tool_choice: 'required', temperature })
        .withResponse();
    // A tiny model does not always end what it looks for, and then is not asked again: one in ten at a temperature of 1.
    let answer = await ask(0);
    for (let attempt = 1; attempt < 30 && !wasAskedAgain(answer.data); attempt++) answer = await ask(1);
    expect(wasAskedAgain(answer.data), JSON.stringify(answer.data.output)).toBe(true);
    const requestId = answer.response.headers.get('x-request-id');
    const ofRequest = () =>
      collector.spans.filter(
        ({ service, kind, attributes }) =>
          service === 'millrace-gateway' && kind !== 3 && attributes['millrace.request.id'] === requestId,
      );
    await expect.poll(() => ofRequest().length).toBeGreaterThanOrEqual(3);
    const whole = only(ofRequest(), /^POST \/v1\/responses$/);
    expect(new Set(ofRequest().map(({ traceId }) => traceId))).toEqual(new Set([whole.traceId]));
    for (const part of ofRequest().filter((span) => span !== whole))
      expect(part).toMatchObject({ name: expect.stringMatching(/^millrace /), kind: 1, parentSpanId: whole.spanId });
  }, 60_000);

  it('is measured by the same metrics that a scrape gets', async () => {
    await expect.poll(() => [...collector.metrics.keys()]).toContain('millrace_requests_total');
    await expect.poll(() => [...collector.metrics.keys()]).toContain('millrace_worker_step_duration_seconds');
    expect(collector.metrics.get('millrace_worker_step_duration_seconds')?.service).toBe('millrace-worker');
    const scraped = await (await fetch(`${stack.url}/metrics`)).text();
    expect(scraped).toContain('millrace_requests_total{');
  });
});

describe('an answer whose worker is killed', () => {
  it('is one trace, in which the first attempt says what became of it and the next goes on', async () => {
    await using collector = await Collector.start();
    await using stage = new Stage();
    const { environment } = collector;
    const fleet = await Fleet.start(stage, {
      gateways: 1,
      workers: 2,
      gatewayArgs: ['--credit-tokens=1'],
      environment,
    });
    const { id, headers } = traced();
    const response = await fetch(`${fleet.gateways[0]!.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-millrace-cache': 'off', ...headers },
      body: JSON.stringify({ messages: [{ role: 'user', content: 'plum' }], stream: true, response_format: LONG }),
    });
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    await reader.read();
    for (const worker of fleet.workers) {
      const running = /^millrace_worker_running_sequences\{.*\} 1$/m;
      if (running.test(await (await fetch(`${worker.url}/metrics`)).text())) worker.program.signal('SIGKILL');
    }
    let rest = '';
    for (let part = await reader.read(); !part.done; part = await reader.read()) rest += part.value;
    expect(rest.endsWith('data: [DONE]\n\n')).toBe(true);

    await expect.poll(() => collector.trace(id).map(({ name }) => name)).toContain('answer millrace-demo');
    await expect.poll(() => collector.trace(id).map(({ name }) => name)).toContain('POST /v1/chat/completions');
    const spans = collector.trace(id);
    const whole = only(spans, /^POST /);
    expect(whole).toMatchObject({ failed: false, attributes: { 'millrace.continued': true, 'millrace.attempts': 2 } });
    const [first, second, ...more] = spans.filter(({ name }) => name.startsWith('chat '));
    expect(more).toEqual([]);
    expect(first).toMatchObject({ failed: true, attributes: { 'error.type': 'worker_lost', 'millrace.attempt': 1 } });
    expect(second).toMatchObject({ failed: false, attributes: { 'millrace.attempt': 2 } });
    // What was killed tells nothing any more.
    expect(only(spans, /^answer /)).toMatchObject({
      parentSpanId: second!.spanId,
      attributes: { 'millrace.resumed_tokens': expect.any(Number) },
    });
  }, 120_000);
});

describe.skipIf(!HAS_REDIS)('a request that goes by a queue (skipped where this machine has no Redis)', () => {
  it('is one trace as well', async () => {
    await using collector = await Collector.start();
    await using stage = new Stage();
    const redis = await RealRedis.start(undefined, { keeps: true });
    stage.add(() => redis.end());
    const queue = [`--queue-redis-url=${redis.url}`, '--dispatch=queue'];
    const fleet = await Fleet.start(stage, {
      gateways: 1,
      workers: 1,
      gatewayArgs: queue,
      workerArgs: queue,
      environment: collector.environment,
    });
    const { id, headers } = traced();
    const response = await chat(fleet.gateways[0]!.url, headers);
    expect(response.status).toBe(200);
    await expect.poll(() => collector.trace(id).map(({ name }) => name)).toContain('decode');
    await expect.poll(() => collector.trace(id).map(({ name }) => name)).toContain('POST /v1/chat/completions');
    const spans = collector.trace(id);
    expect(only(spans, /^answer /).parentSpanId).toBe(only(spans, /^chat /).spanId);
  }, 120_000);
});

describe('a collector that is not there', () => {
  it('keeps nobody from an answer, nor the process from its end', async () => {
    const stack = await startStack({
      environment: {
        OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9',
        OTEL_BSP_SCHEDULE_DELAY: '50',
        OTEL_EXPORTER_OTLP_TIMEOUT: '1000',
      },
      args: ['--log-format=json'],
    });
    for (let request = 0; request < 5; request++) expect((await chat(stack.url, {})).status).toBe(200);
    await expect.poll(() => stack.output()).toContain('OpenTelemetry could not do something');
    const stopsAtMs = performance.now();
    expect(await stack.stop()).toBe(0);
    expect(performance.now() - stopsAtMs).toBeLessThan(10_000);
  }, 120_000);
});
