import { expect, it } from 'vitest';
import type { Script, ScriptedPiece } from './dispatch/fake-worker.testing.js';
import { eventsOf, TestBed } from './gateway.testing.js';

/** Each once in the answer, and in nothing else of this process. */
const WORDS = Array.from({ length: 40 }, (_, index) => `wordnumber${index}x`);

const text: Script = { answer: WORDS.map((word) => `${word} `) };
const call: Script = {
  answer: [
    { calls: [{ index: 0, name: 'look_up', arguments: '' }] },
    { calls: [{ index: 0, name: '', arguments: '{"a":"' }] },
    ...WORDS.map((word): ScriptedPiece => ({ calls: [{ index: 0, name: '', arguments: word }] })),
    { calls: [{ index: 0, name: '', arguments: '"}' }] },
  ],
  reason: 'tool_calls',
};

const messages = [{ role: 'user', content: 'Hi' }];
const parameters = { type: 'object', properties: { a: { type: 'string' } } };

const STREAMS: [string, Script, string, object][] = [
  ['a chat', text, '/v1/chat/completions', { messages }],
  ['a chat of several answers', text, '/v1/chat/completions', { messages, n: 2 }],
  [
    'a call in a chat',
    call,
    '/v1/chat/completions',
    { messages, tools: [{ type: 'function', function: { name: 'look_up', parameters } }] },
  ],
  ['a text', text, '/v1/completions', { prompt: 'Hi' }],
  ['a response', text, '/v1/responses', { input: 'Hi' }],
  [
    'a call in a response',
    call,
    '/v1/responses',
    { input: 'Hi', tools: [{ type: 'function', name: 'look_up', parameters }] },
  ],
  ['a message', text, '/v1/messages', { messages, max_tokens: 500 }],
  [
    'a call in a message',
    call,
    '/v1/messages',
    { messages, max_tokens: 500, tools: [{ name: 'look_up', input_schema: parameters }] },
  ],
];

it.each(STREAMS)('%s is streamed with one JSON.stringify for each of its events', async (_, script, path, body) => {
  await using bed = await TestBed.start({}, [{ script: () => script }]);
  using made = writtenJson();
  const events = await eventsOf(await bed.post(path, { ...body, stream: true }));
  // What is written down of the request comes behind its answer.
  await expect.poll(() => bed.records().length).toBe(1);
  for (const word of WORDS) {
    const of = (texts: readonly string[]) => texts.filter((one) => one.includes(word)).length;
    expect(of(events), word).toBeGreaterThan(0);
    expect(of(made.texts), `${word} was made JSON of more often than it was sent, or not by JSON.stringify`).toBe(
      of(events),
    );
  }
});

/** Whatever `JSON.stringify` gives until it is disposed of. */
function writtenJson(): Disposable & { readonly texts: readonly string[] } {
  const { stringify } = JSON;
  const texts: string[] = [];
  JSON.stringify = (...args: [unknown, never?, never?]) => {
    const json = stringify(...args);
    texts.push(String(json));
    return json;
  };
  return {
    texts,
    [Symbol.dispose]: () => {
      JSON.stringify = stringify;
    },
  };
}
