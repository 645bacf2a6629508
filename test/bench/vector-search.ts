/**
 * How long a search takes and how many of the nearest it misses, as the gateway keeps vectors: in the embedded database, and where
 * TEST_QDRANT_URL (and TEST_QDRANT_API_KEY) says so in a Qdrant. Vectors are drawn around some hundred centres, as those of texts lie, and each
 * search is compared with a look at every one of them.
 *
 *   node test/bench/vector-search.ts [--embedded 10000] [--qdrant 100000] [--dimension 384] [--questions 200] [--timeout 60000]
 *
 * Exit status 1 when fewer than 95 of a hundred of the nearest ten are found.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { EmbeddedDatabase } from '@millrace/gateway/stores/adapters/pglite/embedded-database';
import { PgvectorStore } from '@millrace/gateway/stores/adapters/pgvector-store';
import { QdrantVectorStore } from '@millrace/gateway/stores/adapters/qdrant-vector-store';
import { MigratedDatabase } from '@millrace/gateway/stores/migrated-database';
import { readMigrations } from '@millrace/gateway/stores/migration-files';
import type { VectorCollection, VectorStore } from '@millrace/gateway/stores/vector-store';
import { createLogger } from '@millrace/runtime';
import { percentile } from './generator.ts';

const NEAREST = 10;
const RECALL_MIN = 0.95;
const POINTS_PER_UPSERT = 500;
const CENTRES = 200;
/** How far from its centre a vector lies, against how far centres lie from each other. */
const SPREAD = 0.6;
const STORES = 4;
const WARM_UP = 20;
const SEED = 20_240_811;
const OPEN_TIMEOUT_MS = 120_000;

const { values } = parseArgs({
  options: {
    embedded: { type: 'string', default: '10000' },
    qdrant: { type: 'string', default: '100000' },
    dimension: { type: 'string', default: '384' },
    questions: { type: 'string', default: '200' },
    timeout: { type: 'string', default: '60000' },
  },
});
const [dimension, questions, timeoutMs] = [values.dimension, values.questions, values.timeout].map(Number) as [
  number,
  number,
  number,
];
const signal = new AbortController().signal;
const logger = createLogger({ name: 'bench', level: 'silent', format: 'json' });
const qdrantUrl = process.env.TEST_QDRANT_URL;

tell(
  `${cpus()[0]?.model.trim()}, ${cpus().length} cores, Node ${process.versions.node}; load average ${loadavg()[0]!.toFixed(1)}.`,
);
tell(`Vectors of ${dimension} numbers; ${questions} searches for the nearest ${NEAREST}, one after another.\n`);
tell('| kept in | vectors | of them searched | put, a second | recall@10 | p50 ms | p95 ms |');
tell('| --- | ---: | ---: | ---: | ---: | ---: | ---: |');
let broken = false;
await embedded(Number(values.embedded));
if (qdrantUrl === undefined) tell('\nNo Qdrant was measured: TEST_QDRANT_URL names none.');
else await qdrant(qdrantUrl, Number(values.qdrant));
if (broken) process.exitCode = 1;

async function embedded(count: number): Promise<void> {
  const dataFolder = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
  const inner = new EmbeddedDatabase({ dataFolder, timeoutMs: timeoutMs }, logger);
  const database = new MigratedDatabase(inner, readMigrations(), logger);
  try {
    await Promise.race([inner.opened(), late(OPEN_TIMEOUT_MS)]);
    await measure('the embedded database', new PgvectorStore(database, { timeoutMs }), count);
  } finally {
    await database.close();
    rmSync(dataFolder, { recursive: true, force: true });
  }
}

async function qdrant(url: string, count: number): Promise<void> {
  const store = new QdrantVectorStore({ url, apiKey: process.env.TEST_QDRANT_API_KEY, timeoutMs });
  try {
    await measure('Qdrant', store, count);
  } finally {
    await store.close();
  }
}

/** One collection for several stores, as the gateway has it; all of it belongs to them in equal parts. */
async function measure(where: string, store: VectorStore, count: number): Promise<void> {
  const name = `bench_${process.pid}`;
  const collection = store.collection({ name, dimension, filteredBy: { store: 'text', entry: 'text' } });
  const random = randomNumbers(SEED);
  const centres = Array.from({ length: CENTRES }, () => normal(random));
  const draw = () => around(centres[Math.floor(random() * CENTRES)]!, random);
  const all = Array.from({ length: count }, draw);
  const asked = Array.from({ length: questions + WARM_UP }, draw);
  try {
    const began = performance.now();
    await put(collection, all);
    const perSecond = Math.round(count / ((performance.now() - began) / 1_000));
    for (const stores of [STORES, 1]) {
      const searched = stores === 1 ? all.length : Math.ceil(all.length / STORES);
      const { recall, timesMs } = await search(collection, all, asked, stores === 1 ? undefined : 0);
      const [p50, p95] = [0.5, 0.95].map((share) => percentile(timesMs, share).toFixed(1));
      tell(
        `| ${where} | ${thousands(count)} | ${thousands(searched)} | ${thousands(perSecond)} | ${recall.toFixed(4)} | ${p50} | ${p95} |`,
      );
      broken ||= recall < RECALL_MIN;
    }
  } finally {
    await store.drop(name, signal);
  }
}

async function put(collection: VectorCollection, all: readonly Float32Array[]): Promise<void> {
  for (let from = 0; from < all.length; from += POINTS_PER_UPSERT) {
    const points = all.slice(from, from + POINTS_PER_UPSERT).map((vector, at) => ({
      id: `chunk.${from + at}`,
      vector,
      attributes: { store: storeOf(from + at), entry: `entry_${Math.floor((from + at) / 100)}`, number: from + at },
    }));
    await collection.upsert(points, signal);
  }
}

/** @param only the store that is searched; undefined: all of them. */
async function search(
  collection: VectorCollection,
  all: readonly Float32Array[],
  asked: readonly Float32Array[],
  only: number | undefined,
) {
  const filter = only === undefined ? {} : { store: storeOf(only) };
  const timesMs: number[] = [];
  let found = 0;
  for (const [index, vector] of asked.entries()) {
    const began = performance.now();
    const near = await collection.nearest({ vector, limit: NEAREST, filter }, signal);
    if (index < WARM_UP) continue;
    timesMs.push(performance.now() - began);
    const truth = nearestOf(all, vector, only);
    found += near.filter(({ attributes }) => truth.has(Number(attributes.number))).length;
  }
  return { recall: found / (NEAREST * timesMs.length), timesMs };
}

function nearestOf(all: readonly Float32Array[], question: Float32Array, only: number | undefined): Set<number> {
  const scored = all.flatMap((vector, at) =>
    only === undefined || at % STORES === only ? [{ at, score: dot(vector, question) }] : [],
  );
  scored.sort((one, other) => other.score - one.score);
  return new Set(scored.slice(0, NEAREST).map(({ at }) => at));
}

function storeOf(at: number): string {
  return `store_${at % STORES}`;
}

function dot(one: Float32Array, other: Float32Array): number {
  let sum = 0;
  for (let at = 0; at < one.length; at++) sum += one[at]! * other[at]!;
  return sum;
}

function around(centre: Float32Array, random: () => number): Float32Array {
  const noise = normal(random);
  return unit(centre.map((number, at) => number + SPREAD * noise[at]!));
}

function normal(random: () => number): Float32Array {
  return unit(
    Float32Array.from(
      { length: dimension },
      () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()),
    ),
  );
}

function unit(vector: Float32Array): Float32Array {
  const length = Math.sqrt(dot(vector, vector));
  return vector.map((number) => number / length);
}

/** Mulberry32: the same numbers each time. */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function thousands(value: number): string {
  return value.toLocaleString('en-US');
}

async function late(afterMs: number): Promise<never> {
  await new Promise((resolve) => setTimeout(resolve, afterMs).unref());
  throw new Error(`The embedded database was not there within ${afterMs} ms.`);
}

function tell(line: string): void {
  process.stdout.write(`${line}\n`);
}
