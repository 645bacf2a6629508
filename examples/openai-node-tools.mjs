// node examples/openai-node-tools.mjs
import OpenAI from 'openai';

const client = new OpenAI({ baseURL: process.env.OPENAI_BASE_URL ?? 'http://127.0.0.1:8000/v1', apiKey: 'none' });

const runner = client.chat.completions.runTools({
  model: 'millrace-demo',
  temperature: 0,
  messages: [{ role: 'user', content: 'What is the weather in Oslo?' }],
  tools: [
    {
      type: 'function',
      function: {
        name: 'get_weather',
        description: 'Get the current weather in a city',
        parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
        parse: JSON.parse,
        function: ({ city }) => ({ city, temperature: 21, condition: 'sunny' }),
      },
    },
  ],
});

console.log(await runner.finalContent()); // It is 21 degrees and sunny in Oslo.
