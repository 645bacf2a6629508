// Tests read what commands print. Where the tests' own output is in colours, as it often is in CI, vitest hands
// FORCE_COLOR on, and every command that a test starts would print in colours too.
delete process.env.FORCE_COLOR;
process.env.NO_COLOR = '1';
