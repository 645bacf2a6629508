import { InferenceError } from '@millrace/contracts';
import { describe, expect, it } from 'vitest';
import { aRequest } from '../cache/cache.testing.js';
import { ANYONE, type Call, type Deadline, type SequenceEvent } from '../vocabulary.js';
import { type Candidate, Dispatcher } from './dispatcher.js';
import type { WorkerClient } from './worker-client.js';

const request = aRequest();
const call = { requestId: 'r', caller: ANYONE, trace: undefined, tell: () => {} } as unknown as Call;
const notes = { sentTo: () => undefined, attemptFailed: () => {} };
const dispatcher = new Dispatcher();

/** Workers that each do what `answer` does, and what was said of them. */
class Crew {
  readonly said: string[] = [];
  asked = 0;
  returned = false;

  constructor(private readonly does: Partial<WorkerClient>) {}

  async *candidates(): AsyncGenerator<Candidate> {
    try {
      for (let number = 1; number < 100; number++) {
        this.asked++;
        yield {
          worker: { address: `worker ${number}`, ...this.does } as WorkerClient,
          model: request.model,
          answered: () => this.said.push(`${number} answered`),
          failed: ({ code }) => this.said.push(`${number} failed: ${code}`),
        };
      }
    } finally {
      this.returned = true;
    }
  }
}

const deadlineOf = ({ signal }: AbortController): Deadline => ({ signal, remainingMs: () => 1_000 });

async function textOf(events: AsyncIterable<SequenceEvent>): Promise<string> {
  let text = '';
  for await (const event of events) if (event.kind === 'tokens') text += event.text;
  return text;
}

/** As a gateway that ends gives up what still runs: a reason for which another worker is asked where a worker has it. */
const GIVEN_UP = new InferenceError('shutting_down', 'This gateway ends.');

describe('an answer that is given up', () => {
  it('asks nobody else, and blames no worker', async () => {
    const leaving = new AbortController();
    const crew = new Crew({
      async *answer() {
        yield { kind: 'begun', index: 0, promptTokens: 1, cachedTokens: 0, waitedMs: 0 };
        yield { kind: 'tokens', index: 0, tokens: [1], text: 'a' };
        leaving.abort(GIVEN_UP);
        throw GIVEN_UP;
      },
    });
    const answer = dispatcher.answer(request, crew.candidates(), call, deadlineOf(leaving), notes);
    await expect(textOf(answer)).rejects.toBe(GIVEN_UP);
    expect([crew.asked, crew.returned, crew.said]).toEqual([1, true, ['1 answered']]);
  });

  it('asks nobody else for vectors either', async () => {
    const leaving = new AbortController();
    const crew = new Crew({});
    const work = dispatcher.work(crew.candidates(), call, deadlineOf(leaving), notes, async () => {
      leaving.abort(GIVEN_UP);
      throw new InferenceError('worker_lost', 'It is gone, too.');
    });
    await expect(work).rejects.toBe(GIVEN_UP);
    expect([crew.asked, crew.returned, crew.said]).toEqual([1, true, []]);
  });
});
