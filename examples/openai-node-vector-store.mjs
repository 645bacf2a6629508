// npm install openai; node openai-node-vector-store.mjs
import OpenAI, { toFile } from 'openai';

// Millrace asks for no key unless you set some up; the client insists on sending one.
const client = new OpenAI({ baseURL: process.env.OPENAI_BASE_URL ?? 'http://127.0.0.1:8000/v1', apiKey: 'none' });

const notes = {
  car: 'Tom sold the old car.',
  letter: 'Anna wrote the letter.',
  rain: 'It rained in Oslo for three days.',
};
const files = await Promise.all(Object.entries(notes).map(([name, text]) => toFile(Buffer.from(text), `${name}.md`)));

const store = await client.vectorStores.create({ name: 'notes' });
await client.vectorStores.fileBatches.uploadAndPoll(store.id, { files }, { pollIntervalMs: 500 });

const query = 'The letter was written by Anna.';
const { data } = await client.vectorStores.search(store.id, { query, max_num_results: 1 });
for (const { filename, content } of data) console.log(`${query} → ${filename}: ${content[0].text}`);

// The files stay; `client.files.delete` removes them.
await client.vectorStores.delete(store.id);
