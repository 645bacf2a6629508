import { fileURLToPath } from 'node:url';
import { tokenEngineContract } from '../../token-engine.contract.js';
import type { EngineLogger } from './llama-instance.js';
import { openLlamaCpp } from './open-llama-cpp.js';

const DEMO_MODEL = fileURLToPath(new URL('../../../../../../models/millrace-demo.gguf', import.meta.url));

const quiet: EngineLogger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

tokenEngineContract('LlamaCppTokenEngine', (sizes) =>
  openLlamaCpp({ ...sizes, path: DEMO_MODEL, threads: 1, gpu: 'off', logger: quiet }),
);
