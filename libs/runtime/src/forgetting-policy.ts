/**
 * By which rule a Redis forgets keys when it is full, from what it answers to INFO: its `maxmemory-policy`. Undefined: it forgets none, or
 * does not tell.
 */
export function forgettingPolicy(info: string): string | undefined {
  const told = (field: string) => new RegExp(`^${field}:(\\S+)`, 'm').exec(info)?.[1];
  // Without a limit it is never full.
  if (!(Number(told('maxmemory') ?? 0) > 0)) return undefined;
  const policy = told('maxmemory_policy');
  return policy === 'noeviction' ? undefined : policy;
}
