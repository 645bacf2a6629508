import { hasParent, onParentGone } from './parent-process.js';

/**
 * Resolves when this process is asked to stop: SIGTERM, Ctrl-C, or the end of the `millrace serve` that started it.
 * A second request ends the process at once with status 130: whoever asks twice does not want to wait.
 *
 * Under `millrace serve`, SIGINT is ignored: a terminal sends Ctrl-C to every process of its group, and the order of
 * stopping (gateway first, then workers) is the parent's.
 */
export function terminationRequested(): Promise<string> {
  const underServe = hasParent();
  return new Promise((resolve) => {
    let asked = false;
    const ask = (why: string) => {
      if (asked) process.exit(130);
      asked = true;
      resolve(why);
    };
    process.on('SIGTERM', () => ask('SIGTERM'));
    process.on('SIGINT', () => {
      if (!underServe) ask('SIGINT');
    });
    onParentGone(() => ask('the end of millrace serve'));
  });
}
