// node examples/anthropic-node.mjs
import Anthropic from '@anthropic-ai/sdk';
import { betaTool } from '@anthropic-ai/sdk/helpers/beta/json-schema';

const client = new Anthropic({ baseURL: process.env.ANTHROPIC_BASE_URL ?? 'http://127.0.0.1:8000', apiKey: 'none' });

const stream = client.messages.stream({
  model: 'millrace-demo',
  max_tokens: 100,
  messages: [{ role: 'user', content: 'What is the capital of France?' }],
});
stream.on('text', (text) => process.stdout.write(text)); // The capital of France is Paris.
await stream.finalMessage();
console.log();

const weather = betaTool({
  name: 'get_weather',
  description: 'Get the current weather in a city',
  inputSchema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  run: ({ city }) => JSON.stringify({ city, temperature: 21, condition: 'sunny' }),
});
const { content } = await client.beta.messages
  .toolRunner({
    model: 'millrace-demo',
    max_tokens: 100,
    messages: [{ role: 'user', content: 'What is the weather in Oslo?' }],
    tools: [weather],
  })
  .runUntilDone();
console.log(content[0].text); // It is 21 degrees and sunny in Oslo.
