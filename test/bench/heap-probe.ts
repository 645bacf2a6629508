/**
 * Loaded into a process that is measured (`node --expose-gc --import …`): collects garbage when it is asked to, and says how
 * much is left. Garbage that waits for its collection is no leak, and hides one.
 */
interface Asked {
  readonly kind?: string;
}

process.on('message', (message: Asked) => {
  if (message.kind !== 'memory?') return;
  // Twice: what the first finds dead may hold more that only then is.
  global.gc?.();
  setImmediate(() => {
    global.gc?.();
    process.send?.({ kind: 'memory', ...process.memoryUsage() });
  });
});
// It must not keep alive what it looks into.
process.channel?.unref();
