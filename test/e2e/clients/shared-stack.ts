import type { TestProject } from 'vitest/node';
import { startStack } from '../stack.js';

declare module 'vitest' {
  interface ProvidedContext {
    stackUrl: string;
  }
}

/** One Millrace for all suites: each is a guest that leaves things as they were, and starting takes longer than asking. */
export default async function setup(project: TestProject): Promise<() => Promise<unknown>> {
  const stack = await startStack();
  project.provide('stackUrl', stack.url);
  return () => stack.stop();
}
