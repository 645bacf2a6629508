// npm install openai; node openai-node-embeddings.mjs
import OpenAI from 'openai';

// Millrace asks for no key unless you set some up; the client insists on sending one.
const client = new OpenAI({ baseURL: process.env.OPENAI_BASE_URL ?? 'http://127.0.0.1:8000/v1', apiKey: 'none' });

const wanted = 'The letter was written by Anna.';
const sentences = ['Tom sold the old car.', 'Anna wrote the letter.', 'It rained in Oslo for three days.'];

const { data } = await client.embeddings.create({ model: 'millrace-demo-embed', input: [wanted, ...sentences] });
const [query, ...vectors] = data.map(({ embedding }) => embedding);

// Vectors have length 1, so the sum of products is the cosine of the angle between them.
const nearness = vectors.map((vector) => vector.reduce((sum, number, index) => sum + number * query[index], 0));
const nearest = nearness.indexOf(Math.max(...nearness));
console.log(`${wanted} → ${sentences[nearest]}`);
