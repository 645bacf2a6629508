// npm install openai; node openai-node.mjs
import OpenAI from 'openai';

// Millrace asks for no key unless you set some up; the client insists on sending one.
const client = new OpenAI({ baseURL: process.env.OPENAI_BASE_URL ?? 'http://127.0.0.1:8000/v1', apiKey: 'none' });

const stream = await client.chat.completions.create({
  model: 'millrace-demo',
  messages: [{ role: 'user', content: 'What is the capital of France?' }],
  stream: true,
});

for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta.content ?? '');
process.stdout.write('\n');
