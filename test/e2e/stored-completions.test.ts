import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { startStack } from './stack.js';

const model = 'millrace-demo';
const messages = [{ role: 'user' as const, content: 'Count from one to five.' }];

let dataFolder: string;
beforeEach(() => {
  dataFolder = mkdtempSync(join(tmpdir(), 'millrace-stored-'));
});
afterEach(() => rmSync(dataFolder, { recursive: true, force: true, maxRetries: 5 }));

it('answers that were stored are there after a restart, whole and streamed, as they were', async () => {
  const environment = { MILLRACE_DATA_FOLDER: dataFolder };
  const first = await startStack({ environment });
  const { completions } = first.client().chat;
  const asked = { model, messages, temperature: 0, max_tokens: 30, store: true } as const;
  const whole = await completions.create({ ...asked, metadata: { how: 'whole' } });
  const streamed = await completions.stream({ ...asked, metadata: { how: 'streamed' } }).finalChatCompletion();
  const unstored = await completions.create({ ...asked, store: false });
  expect(await first.stop()).toBe(0);

  await using second = await startStack({ environment });
  const later = second.client().chat.completions;
  expect(await later.retrieve(whole.id)).toEqual({ ...whole, metadata: { how: 'whole' } });
  const kept = await later.retrieve(streamed.id);
  expect(kept.choices[0]!.message.content).toBe(streamed.choices[0]!.message.content);
  expect(kept.choices[0]!.message.content).toBe(whole.choices[0]!.message.content);
  expect(kept.usage!.completion_tokens).toBe(whole.usage!.completion_tokens);
  const listed: string[] = [];
  for await (const { id } of later.list({ limit: 1 })) listed.push(id);
  expect(listed).toEqual([whole.id, streamed.id]);
  expect((await later.list({ metadata: { how: 'streamed' } })).data.map(({ id }) => id)).toEqual([streamed.id]);
  expect((await later.messages.list(whole.id)).data).toMatchObject(messages);
  await expect(later.retrieve(unstored.id)).rejects.toMatchObject({ status: 404 });
  await later.delete(whole.id);
  await expect(later.retrieve(whole.id)).rejects.toMatchObject({ status: 404 });
}, 120_000);
