import { describe, expect, it } from 'vitest';
import { keptResponsesContract } from './kept-responses.contract.js';
import { startKeeping } from './kept-responses.testing.js';
import { openEmbedded, openPostgres, UnreliableDatabase } from './request-log/database.testing.js';

const postgres = process.env.TEST_POSTGRES_URL;

describe('responses and conversations in the embedded database', { timeout: 60_000 }, () => {
  keptResponsesContract(openEmbedded);
});

describe('a gateway whose database goes away', { timeout: 60_000 }, () => {
  it('tells that nothing can be kept or gone on from while the database is away', async () => {
    await using stack = new AsyncDisposableStack();
    const real = stack.adopt(await openEmbedded(), (database) => database.close());
    await real.query('select 1');
    const database = new UnreliableDatabase(real);
    await using bed = await startKeeping(database);
    const { client } = bed;
    const { id } = await client.responses.create({ input: 'one' });
    const conversation = await client.conversations.create();
    database.fate = () => 'fails before';
    expect(await client.responses.create({ input: 'two' })).toMatchObject({ status: 'completed', store: false });
    const away = { status: 503, code: 'store_unavailable' };
    await expect(client.responses.create({ input: 'x', previous_response_id: id })).rejects.toMatchObject(away);
    await expect(client.responses.create({ input: 'x', conversation: conversation.id })).rejects.toMatchObject(away);
    await expect(client.responses.create({ input: 'x', background: true })).rejects.toMatchObject(away);
    await expect(client.responses.retrieve(id)).rejects.toMatchObject(away);
    await expect(client.responses.delete(id)).rejects.toMatchObject(away);
    await expect(client.conversations.create()).rejects.toMatchObject(away);
    database.fate = () => 'works';
    expect(await client.responses.create({ input: 'x', previous_response_id: id })).toMatchObject({ store: true });
  });
});

describe.skipIf(postgres === undefined)(
  'responses and conversations in a real Postgres (TEST_POSTGRES_URL is not set: `make test-services`)',
  { timeout: 60_000 },
  () => {
    keptResponsesContract(() => openPostgres(postgres!));
  },
);
