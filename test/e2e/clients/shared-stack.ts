import type { TestProject } from 'vitest/node';
import { startGuard } from '../scripted-guard.js';
import { startStack } from '../stack.js';

declare module 'vitest' {
  interface ProvidedContext {
    stackUrl: string;
  }
}

/** One Millrace for all suites: each is a guest that leaves things as they were, and starting takes longer than asking. */
export default async function setup(project: TestProject): Promise<() => Promise<unknown>> {
  const guard = await startGuard();
  const stack = await startStack({ args: ['--models-file', guard.modelsFile] });
  project.provide('stackUrl', stack.url);
  return async () => {
    await stack.stop();
    await guard.close();
  };
}
