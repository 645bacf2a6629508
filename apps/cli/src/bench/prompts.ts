/**
 * Rotated, so that figures are not those of one question. Some end after a few tokens, some go on for long, as in life.
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

/**
 * Prompts of one length that begin differently, so that no server can reuse what it has read before. `salt` (0 to 9)
 * tells apart targets that share a worker.
 */
export function freshPrompt(index: number, salt: number): string {
  const number = String((index * 10 + salt) * 7919).padStart(13, '0');
  return `${number.split('').reverse().join('')}: tell me a long story about the sea, and about the people who live by it.`;
}

const WORDS =
  'the server answers many people at once and reads what they wrote in small pieces so that nobody waits for long while others speak'.split(
    ' ',
  );

/** A text of so many words that begins as no other does. */
export function freshText(words: number, index: number): string {
  const text = Array.from({ length: words }, (_, word) => WORDS[(word * 7 + (word >> 5)) % WORDS.length]!);
  return `${freshPrompt(index, 0)} ${text.join(' ')}.`;
}

/** Tells apart runs against one server: it must not know the prompts of the run before. */
export function runNumber(): number {
  return (Date.now() % 100_000) * 1_000;
}
