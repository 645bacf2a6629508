/**
 * The line between `millrace serve` and the processes it starts: Node's IPC channel, one message a way.
 *
 * A child says `listening` once, with the port it listens on. A parent that dies closes the channel, and the child then
 * stops by itself, so that no process is left behind even after `kill -9` of the parent.
 */
export type ChildMessage =
  | { readonly kind: 'listening'; readonly port: number }
  | { readonly kind: 'failed'; readonly sentence: string };

/** Resolves when the message is on its way, so that even last words arrive; to false when there is no parent to tell. */
export async function tellParent(message: ChildMessage): Promise<boolean> {
  if (!process.connected) return false;
  return new Promise((resolve) => {
    process.send?.(message, (error) => resolve(error === null));
  });
}

/** Whether a parent started this process, be it alive or not: `connected` turns false with its death, `send` stays. */
export function hasParent(): boolean {
  return process.send !== undefined;
}

/**
 * Calls `stop` when the parent is gone, at once if it is gone already; never, when there was none.
 *
 * A child takes its time to start, and its parent may die meanwhile: 'disconnect' is then long past.
 */
export function onParentGone(stop: () => void): void {
  if (!hasParent()) return;
  if (!process.connected) {
    stop();
    return;
  }
  process.once('disconnect', stop);
  // A listener holds the channel open, and with it this process: under `node --watch` a finished one would never end.
  process.channel?.unref();
}
