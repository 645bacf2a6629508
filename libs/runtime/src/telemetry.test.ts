import { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { createLogger } from './logger.js';
import { startTelemetry } from './telemetry.js';
import { askedOf } from './telemetry-variables.js';

const ENDPOINT = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' };

describe('what is sent to a collector', () => {
  it.each([
    ['nothing, where nobody says where to', {}, []],
    ['nothing, where only a name is given', { OTEL_SERVICE_NAME: 'mine' }, []],
    ['both, where a collector is named', ENDPOINT, ['traces', 'metrics']],
    [
      'one, where only its own address is named',
      { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://c:4318/v1/traces' },
      ['traces'],
    ],
    ['the other', { OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: 'http://c:4318/v1/metrics' }, ['metrics']],
    [
      'both to the usual address, where exporters are named',
      { OTEL_TRACES_EXPORTER: 'otlp', OTEL_METRICS_EXPORTER: 'otlp' },
      ['traces', 'metrics'],
    ],
    ['traces alone, where metrics are declined', { ...ENDPOINT, OTEL_METRICS_EXPORTER: 'none' }, ['traces']],
    ['traces alone, where metrics are scraped', { ...ENDPOINT, OTEL_METRICS_EXPORTER: 'prometheus' }, ['traces']],
    ['metrics alone, where traces are declined', { ...ENDPOINT, OTEL_TRACES_EXPORTER: ' none ' }, ['metrics']],
    ['nothing, where the SDK is switched off', { ...ENDPOINT, OTEL_SDK_DISABLED: 'True' }, []],
    ['nothing, where a variable is empty', { OTEL_EXPORTER_OTLP_ENDPOINT: ' ', OTEL_TRACES_EXPORTER: '' }, []],
  ])('is %s', (_name, environment, sent) => {
    expect(askedOf(environment)).toEqual({ sent, mistakes: [] });
  });
});

describe('a variable that can not be followed', () => {
  it.each([
    [
      'an address without a scheme',
      { OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4318' },
      [],
      /^OTEL_EXPORTER_OTLP_ENDPOINT is "collector:4318"/,
    ],
    ['a host alone', { OTEL_EXPORTER_OTLP_ENDPOINT: '127.0.0.1' }, [], /write it as http:\/\//],
    [
      'an address of one signal',
      { ...ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'collector/v1/traces' },
      ['metrics'],
      /^OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is/,
    ],
    [
      'an exporter that is not there',
      { ...ENDPOINT, OTEL_TRACES_EXPORTER: 'jaeger' },
      ['metrics'],
      /otlp, console, none\.$/,
    ],
    ['another', { OTEL_METRICS_EXPORTER: 'otlp,statsd' }, [], /^OTEL_METRICS_EXPORTER is "otlp,statsd"/],
    [
      'a protocol that is mistyped',
      { ...ENDPOINT, OTEL_EXPORTER_OTLP_PROTOCOL: 'gprc' },
      [],
      /http\/protobuf, http\/json, grpc\.$/,
    ],
  ])('is said, and its signal is not sent to some other place: %s', (_what, environment, sent, text) => {
    const asked = askedOf(environment);
    expect(asked.sent).toEqual(sent);
    expect(asked.mistakes).not.toEqual([]);
    for (const mistake of asked.mistakes) expect(mistake.text).toMatch(text);
    for (const mistake of asked.mistakes) expect(sent).not.toContain(mistake.signal);
  });

  it.each([
    [
      'gRPC takes a host and a port',
      { OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4317', OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' },
    ],
    ['a list may name what is scraped anyway', { ...ENDPOINT, OTEL_METRICS_EXPORTER: 'prometheus, otlp' }],
  ])('is none: %s', (_what, environment) => {
    expect(askedOf(environment)).toEqual({ sent: ['traces', 'metrics'], mistakes: [] });
  });
});

describe('a start with a collector', () => {
  it('has nothing to complain of', async () => {
    const lines: string[] = [];
    const stream = new Writable({
      write: (chunk, _encoding, done) => {
        lines.push(`${chunk}`);
        done();
      },
    });
    const logger = createLogger({ name: 'test', level: 'debug', format: 'json' }, stream);
    const environment = { OTEL_TRACES_EXPORTER: 'otlp', OTEL_METRICS_EXPORTER: 'none' };
    const telemetry = await startTelemetry({ serviceName: 'test', serviceVersion: '0', environment, logger });
    await telemetry.close();
    expect(lines.join('')).toContain('Telemetry goes to');
    expect(lines.join('')).not.toContain('could not do something');
  });
});
