import type { SqlDatabase } from './sql-database.js';

/**
 * What some gateway does now and then for all of them: whether it falls to this one, and to no other for so many minutes. A lease in a table
 * needs no connection held.
 *
 * @throws DatabaseUnavailable
 */
export async function takeChore(database: SqlDatabase, name: string, minutes: number): Promise<boolean> {
  const taken = await database.query(
    `insert into record_chores as chore (name, taken_at) values ($1, now())
     on conflict (name) do update set taken_at = now()
       where chore.taken_at not between now() - $2 * interval '1 minute' and now() + interval '1 minute'
     returning name`,
    [name, minutes],
  );
  return taken.length > 0;
}
