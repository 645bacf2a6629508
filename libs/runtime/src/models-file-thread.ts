import { parentPort, workerData } from 'node:worker_threads';
import { ConfigurationError } from './configuration-error.js';
import { checkedModelsFile } from './models-file.js';
import type { ThreadAnswer, ThreadTask } from './models-file-aside.js';

/** Begins in a thread of `parseModelsFileAside`; one file, then it ends. */
const { text, path } = workerData as ThreadTask;

parentPort!.postMessage(answer());

function answer(): ThreadAnswer {
  try {
    return { checked: checkedModelsFile(text, path) };
  } catch (error) {
    if (error instanceof ConfigurationError) return { problems: error.problems };
    throw error;
  }
}
