import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { environmentNameOf } from '@millrace/contracts';
import { Ajv } from 'ajv';
import { describe, expect, it } from 'vitest';
import { isMap, isScalar, parseDocument, type YAMLMap } from 'yaml';
import { settingsInValues } from '../../tools/charts/values-schema.js';
import { CHART, exampleNames, exampleText, ROOT } from './chart.testing.js';

/** What needs no helm. */
const text = readFileSync(join(CHART, 'values.yaml'), 'utf8');
const schema = JSON.parse(readFileSync(join(CHART, 'values.schema.json'), 'utf8'));
const values = parseDocument(text);

/** Helm does not look at the form of addresses either. */
const validate = new Ajv({ strictTypes: false, formats: { uri: true } }).compile(schema);

interface Leaf {
  readonly path: string;
  readonly line: number;
}

/** What has no keys of its own: a scalar, a list, a map that is empty or written in one line. */
function leavesOf(map: YAMLMap, path: readonly string[] = []): Leaf[] {
  return map.items.flatMap(({ key, value }) => {
    if (!isScalar(key)) throw new Error('a key that is no text');
    const here = [...path, String(key.value)];
    if (isMap(value) && value.items.length > 0 && value.flow !== true) return leavesOf(value, here);
    return [{ path: here.join('.'), line: text.slice(0, key.range![0]).split('\n').length }];
  });
}

describe('values.yaml', () => {
  const lines = text.split('\n');
  const leaves = leavesOf(values.contents as YAMLMap);

  it('explains every value right above it', () => {
    expect(leaves.length).toBeGreaterThan(150);
    // `requests` and `limits` stand below the `resources` that are explained.
    const silent = leaves.filter(({ path, line }) => {
      const above = /\.resources\.(requests|limits)$/.test(path) ? lineOfResources(line) : line;
      return !lines[above - 2]?.trim().startsWith('#');
    });
    expect(silent.map(({ path }) => path)).toEqual([]);
  });

  const lineOfResources = (line: number) => {
    let at = line;
    while (!/^\s*resources:/.test(lines[at - 1] ?? '')) at -= 1;
    return at;
  };

  it('fits its own schema', () => {
    validate(values.toJS());
    expect(validate.errors).toBeNull();
  });

  it.each(exampleNames())('is fitted by %s', (name) => {
    validate(filledIn(values.toJS(), parseDocument(exampleText(name)).toJS()));
    expect(validate.errors).toBeNull();
  });

  it('has a place for every key of the schema, and the schema for every key', () => {
    const pool = new Set(Object.keys(schema.properties.workers.properties.defaults.properties));
    const open = new Set(['global', 'workers.pools']);
    const wanted = keysOf(schema).filter(
      (path) => ![...open].some((one) => path === one || path.startsWith(`${one}.`)),
    );
    const missing = wanted.filter((path) => !values.hasIn(path.split('.')));
    expect(missing).toEqual([]);
    expect(pool.size).toBeGreaterThan(20);
    const inPools = schema.properties.workers.properties.pools.items.properties;
    expect(Object.keys(inPools).sort()).toEqual(['name', ...pool].sort());
  });

  it('has no password, and no word that could be one', () => {
    const secrets = leaves.filter(({ path }) => /password|secretKey$|accessKey$|adminKey|token/i.test(path));
    expect(secrets).toEqual([]);
  });
});

/** As Helm does it: what a file does not say is as in values.yaml. */
function filledIn(defaults: Plain, said: Plain): Plain {
  const isPlain = (value: unknown): value is Plain =>
    typeof value === 'object' && value !== null && !Array.isArray(value);
  const entries = Object.entries(said).map(([key, value]): [string, unknown] => {
    const other = defaults[key];
    return [key, isPlain(value) && isPlain(other) ? filledIn(other, value) : value];
  });
  return { ...defaults, ...Object.fromEntries(entries) };
}

type Plain = Readonly<Record<string, unknown>>;

/** The closed objects of a schema, as paths of values. */
function keysOf({ properties = {} }: { properties?: Record<string, never> }, path = ''): string[] {
  return Object.entries(properties as Record<string, { properties?: Record<string, never> }>).flatMap(
    ([key, below]) => {
      const here = path === '' ? key : `${path}.${key}`;
      // Raw parts of Kubernetes' own have no place of their own in values.yaml.
      if (/(^|\.)(resources|affinity|strategy|behavior)$/.test(here)) return [here];
      return below.properties === undefined ? [here] : keysOf(below, here);
    },
  );
}

describe('the schema of the values', () => {
  it('refuses unknown keys everywhere, but for the raw parts that Kubernetes reads itself', () => {
    const open = openObjects(schema, '');
    // A map of names that are yours, or an object as Kubernetes has it.
    expect(open.filter((path) => !RAW.test(path))).toEqual([]);
  });

  const RAW =
    /(global|affinity\.properties\.\w+|extraVolumes\.items\.properties\.\w+|metrics\.items\.properties\.\w+|triggers\.items\.properties\.metadata)$/;

  it('takes the settings that gateways and workers read, and no secret among them', () => {
    const { gatewaySettings, workerSettings } = schema.definitions;
    expect(Object.keys(gatewaySettings.properties)).toEqual(settingsInValues('gateway').map(([name]) => name));
    expect(Object.keys(workerSettings.properties)).toContain('maxBatchSize');
    expect(Object.keys(gatewaySettings.properties)).toContain('maxQueueDepth');
    for (const name of ['adminKey', 'keySecret', 'postgresUrl', 's3SecretKey', 'port', 'drainTimeoutMs']) {
      expect(gatewaySettings.properties[name], name).toBeUndefined();
    }
  });

  it('has settings whose variables the template can work out', () => {
    const asTheTemplate = (name: string) =>
      `MILLRACE_${name
        .replaceAll(/([a-z0-9])([A-Z])/g, '$1_$2')
        .replaceAll('.', '_')
        .toUpperCase()}`;
    for (const [name] of [...settingsInValues('gateway'), ...settingsInValues('worker')]) {
      expect(asTheTemplate(name)).toBe(environmentNameOf(name));
    }
  });
});

/** Objects that take any key, by where they stand. */
function openObjects(node: unknown, path: string): string[] {
  if (typeof node !== 'object' || node === null) return [];
  const { type, additionalProperties } = node as { type?: unknown; additionalProperties?: unknown };
  const isOpen = type === 'object' && additionalProperties === undefined;
  const below = Object.entries(node).flatMap(([key, value]) => openObjects(value, `${path}.${key}`));
  return isOpen ? [path, ...below] : below;
}

describe('Chart.yaml', () => {
  it('has the version of Millrace', () => {
    const chart = parseDocument(readFileSync(join(CHART, 'Chart.yaml'), 'utf8')).toJS();
    expect(chart.appVersion).toBe(JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).version);
  });
});
