import { describe } from 'vitest';
import { MemoryVectors } from './memory-vectors.testing.js';
import { vectorStoreContract } from './vector-store.contract.js';

describe('vectors in memory, which tests stand on', () => {
  vectorStoreContract(async () => new MemoryVectors());
});
