import { expect } from 'vitest';

/**
 * With LATE_LOOKS_MS=150 every look of `expect.poll` comes so much later than it could. A test that waits for a state must find it whenever it
 * looks; one that only finds it because this machine is quick fails here, rather than once in a hundred runs on a busy one.
 */
const lateMs = Number(process.env.LATE_LOOKS_MS ?? 0);
/** Kept, since a test may put a clock of its own in its place. */
const realTimeout = globalThis.setTimeout;

if (lateMs > 0) {
  const poll = expect.poll;
  const lately: typeof poll = (look, options) =>
    poll(async (context) => {
      await new Promise((resolve) => realTimeout(resolve, lateMs));
      return look(context);
    }, options);
  Object.assign(expect, { poll: lately });
}
