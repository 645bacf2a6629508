// npm install openai; node openai-node-batch.mjs
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI, { toFile } from 'openai';

// Millrace asks for no key unless you set some up; the client insists on sending one.
const client = new OpenAI({ baseURL: process.env.OPENAI_BASE_URL ?? 'http://127.0.0.1:8000/v1', apiKey: 'none' });

const lines = ['France', 'Norway'].map((country) => {
  const messages = [{ role: 'user', content: `What is the capital of ${country}?` }];
  const body = { model: 'millrace-demo', temperature: 0, messages };
  return JSON.stringify({ custom_id: country, method: 'POST', url: '/v1/chat/completions', body });
});

const { id } = await client.files.create({
  purpose: 'batch',
  file: await toFile(Buffer.from(lines.join('\n')), 'questions.jsonl'),
});
let batch = await client.batches.create({
  input_file_id: id,
  endpoint: '/v1/chat/completions',
  completion_window: '24h',
});
while (!['completed', 'failed', 'expired', 'cancelled'].includes(batch.status)) {
  await sleep(500);
  batch = await client.batches.retrieve(batch.id);
}

const output = await client.files.content(batch.output_file_id);
for (const line of (await output.text()).trim().split('\n')) {
  const { custom_id, response } = JSON.parse(line);
  console.log(`${custom_id}: ${response.body.choices[0].message.content}`);
}
