/**
 * Rotated, so that no cache of prompts or answers makes the figures better than they are. Some end after a few tokens,
 * some go on for long, as in life.
 */
export const PROMPTS: readonly string[] = [
  'What is the capital of France?',
  'Count to 20.',
  'What is dynamic batching?',
  'Hello! Who are you?',
  'What is eventual consistency?',
  'What is 7 + 12?',
  'Explain backpressure.',
  'What is the capital of Japan?',
  'What is a vector database?',
  'Explique, em até 120 palavras, o que é consistência eventual e cite 1 caso de uso comum.',
  'Count to 12.',
  'What is Kubernetes?',
];
