import { describe, expect, it } from 'vitest';
import { signalsOf } from './telemetry.js';

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
    expect(signalsOf(environment)).toEqual(sent);
  });
});
