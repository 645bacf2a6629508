import { afterAll, beforeAll, describe } from 'vitest';
import { folderOfItsOwn } from './files/files.testing.js';
import { openEmbedded, openPostgres } from './request-log/database.testing.js';
import { PgvectorStore } from './stores/adapters/pgvector-store.js';
import { QdrantServer } from './stores/adapters/qdrant-server.testing.js';
import { QdrantVectorStore } from './stores/adapters/qdrant-vector-store.js';
import { MemoryVectors } from './stores/memory-vectors.testing.js';
import type { SqlDatabase } from './stores/sql-database.js';
import type { VectorStore } from './stores/vector-store.js';
import { vectorStoresContract } from './vector-stores.contract.js';
import type { StoreBed } from './vector-stores.testing.js';

/** @param over undefined: in the same database. */
async function bedOf(database: SqlDatabase, over?: VectorStore): Promise<StoreBed & AsyncDisposable> {
  const objects = folderOfItsOwn();
  const vectors = over ?? new PgvectorStore(database, { timeoutMs: 10_000 });
  return {
    database,
    objects,
    vectors,
    [Symbol.asyncDispose]: async () => {
      await vectors.close();
      await objects.close();
      await database.close();
    },
  };
}

const postgres = process.env.TEST_POSTGRES_URL;
const qdrant = process.env.TEST_QDRANT_URL;

describe('vector stores in the embedded database', { timeout: 60_000 }, () => {
  vectorStoresContract(async () => bedOf(await openEmbedded()));
});

describe('vector stores with their vectors in what stands in for a Qdrant', { timeout: 60_000 }, () => {
  let server: QdrantServer;
  beforeAll(async () => {
    server = await QdrantServer.start();
  });
  afterAll(() => server.end());
  vectorStoresContract(async () =>
    bedOf(await openEmbedded(), new QdrantVectorStore({ url: server.url, timeoutMs: 10_000 })),
  );
});

describe.skipIf(postgres === undefined)(
  'vector stores in a real Postgres (TEST_POSTGRES_URL is not set)',
  { timeout: 60_000 },
  () => {
    // It need not have pgvector, which is tried above.
    vectorStoresContract(async () => bedOf(await openPostgres(postgres!), new MemoryVectors()));
  },
);

describe.skipIf(qdrant === undefined)(
  `vector stores in a real Qdrant${qdrant ? '' : ' (TEST_QDRANT_URL is not set)'}`,
  { timeout: 60_000 },
  () => {
    const apiKey = process.env.TEST_QDRANT_API_KEY;
    vectorStoresContract(async () =>
      bedOf(await openEmbedded(), new QdrantVectorStore({ url: qdrant!, apiKey, timeoutMs: 10_000 })),
    );
  },
);
