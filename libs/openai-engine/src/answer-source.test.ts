import { setTimeout as sleep } from 'node:timers/promises';
import type { AnswerEvent } from '@millrace/contracts';
import { afterEach, describe, expect, it } from 'vitest';
import {
  beginStream,
  delta,
  event,
  FOREVER,
  openEngine,
  type Play,
  request,
  startUpstream,
} from './upstream.testing.js';

const opened: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
});

async function eventsOf(play: Play): Promise<AnswerEvent[]> {
  const upstream = await startUpstream(play);
  opened.push(() => upstream.close());
  const { engine } = await openEngine(upstream.url, {});
  opened.push(() => engine.close());
  const seen: AnswerEvent[] = [];
  try {
    for await (const one of engine.answer(request(), FOREVER)) seen.push(one);
  } catch (error) {
    seen.push({ kind: 'failed', error } as never);
  }
  return seen;
}

/** Sends all of them in one write. */
const together =
  (...pieces: string[]): Play =>
  (response) => {
    beginStream(response);
    response.end(pieces.join(''));
  };

const end = `${event({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] })}data: [DONE]\n\n`;
const text = (content: string) => event(delta({ content }));
const thought = (reasoning_content: string) => event(delta({ reasoning_content }));

describe('texts that come together', () => {
  it('are one event, with the tokens of all', async () => {
    const events = await eventsOf(together(text('one '), text('two '), text('three'), end));
    expect(events).toMatchObject([
      { kind: 'begun' },
      { kind: 'tokens', text: 'one two three', unnumbered: 3 },
      { kind: 'finished', reason: 'stop' },
    ]);
  });

  it('stay apart from thoughts', async () => {
    const events = await eventsOf(together(thought('hm'), thought('m'), text('yes'), text('!'), end));
    expect(events.slice(1, -1)).toMatchObject([{ reasoning: 'hmm', text: '' }, { text: 'yes!' }]);
  });

  it('are given before the failure that came with them', async () => {
    const events = await eventsOf(together(text('a'), text('b'), event({ error: { message: 'out of memory' } })));
    expect(events.slice(1)).toMatchObject([{ text: 'ab' }, { kind: 'failed', error: { code: 'upstream_failed' } }]);
  });

  it('are one by one what each of them is where they come one by one', async () => {
    const events = await eventsOf(async (response) => {
      beginStream(response);
      for (const word of ['a', 'b', 'c']) {
        response.write(text(word));
        await sleep(40);
      }
      response.end(end);
    });
    expect(events.filter(({ kind }) => kind === 'tokens')).toHaveLength(3);
  });
});
