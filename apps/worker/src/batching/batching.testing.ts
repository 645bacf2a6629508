import type { AnswerEvent, AnswerRequest, TokenLogprob } from '@millrace/contracts';
import { createLogger } from '@millrace/runtime';
import { type Script, ScriptedTokenEngine } from '../token-engine/adapters/scripted/scripted-token-engine.js';
import type { StepWork } from '../token-engine/token-engine.js';
import { BatchingEngine, type BatchingOptions } from './batching-engine.js';
import type { BatchingObserver, Decision } from './batching-observer.js';
import type { Outcome } from './sequence.js';
import { ToldChat, type ToldChatOptions } from './told-chat.testing.js';

/** Writes down what it is told. */
export class RecordingObserver implements BatchingObserver {
  readonly decisions: Decision[] = [];
  readonly outcomes: Outcome[] = [];
  tokens = 0;
  cachedTokens = 0;

  decided(decision: Decision): void {
    this.decisions.push(decision);
  }

  stepped(_durationMs: number, _sequences: number, tokens: number): void {
    this.tokens += tokens;
  }

  settled(outcome: Outcome, _promptTokensRead: number, cachedTokens: number): void {
    this.outcomes.push(outcome);
    this.cachedTokens += cachedTokens;
  }
}

export interface TestBench {
  readonly engine: BatchingEngine;
  readonly tokenEngine: ScriptedTokenEngine;
  readonly observer: RecordingObserver;
  /** What each step so far works on, the one under way included. */
  readonly steps: readonly (readonly StepWork[])[];
  readonly broken: unknown[];
  /** Lets the engine wait in that step, counted from 1, so that a test can do something meanwhile; call what it gives to go on. */
  holdAt(step: number): () => void;
}

export function openBench(
  script: Script = {},
  more: Partial<BatchingOptions['limits']> = {},
  chat: ToldChatOptions = {},
): TestBench {
  const steps: (readonly StepWork[])[] = [];
  const held = new Map<number, Promise<void>>();
  const tokenEngine = new ScriptedTokenEngine({
    ...script,
    onStep: (works) => {
      steps.push(works);
      script.onStep?.(works);
      return held.get(steps.length);
    },
  });
  const observer = new RecordingObserver();
  const broken: unknown[] = [];
  const engine = new BatchingEngine(tokenEngine, {
    model: {
      id: 'scripted',
      aliases: [],
      capabilities: ['chat', 'completion'],
      created: 0,
      samplingDefaults: {},
      isDefault: true,
    },
    chat: new ToldChat(chat),
    samplingDefaults: { temperature: 0, topP: 1, topK: 0, minP: 0 },
    maxTokensDefault: undefined,
    limits: {
      maxBatchSize: 8,
      queueMax: 100,
      backgroundSteps: 16,
      prefillChunkTokens: 64,
      maxWaitMs: 0,
      priorityAgeingMs: 30_000,
      requestTimeoutMs: 60_000,
      backgroundTimeoutMs: 60_000,
      stallTimeoutMs: 60_000,
      ...more,
    },
    observer,
    logger: createLogger({ name: 'test', level: 'silent', format: 'json' }),
    onBroken: (error) => broken.push(error),
  });
  const holdAt = (step: number): (() => void) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    held.set(step, promise);
    return resolve;
  };
  return { engine, tokenEngine, observer, steps, broken, holdAt };
}

export function textRequest(text: string, more: Partial<AnswerRequest> = {}): AnswerRequest {
  return {
    requestId: 'test',
    model: 'scripted',
    prompt: { kind: 'text', text },
    sampling: {},
    stop: [],
    priority: 0,
    ...more,
  };
}

export const NEVER = new AbortController().signal;

export interface Collected {
  readonly events: readonly AnswerEvent[];
  readonly text: string;
  readonly tokens: readonly number[];
  readonly logprobs: readonly TokenLogprob[];
  readonly echo: { readonly text: string; readonly logprobs: readonly TokenLogprob[] };
  readonly finished: Extract<AnswerEvent, { kind: 'finished' }> | undefined;
}

/** Reads an answer to its end, or throws what it throws. */
export async function collect(answer: AsyncIterable<AnswerEvent>): Promise<Collected> {
  const events: AnswerEvent[] = [];
  for await (const event of answer) events.push(event);
  const pieces = events.filter((event) => event.kind === 'tokens');
  const echoes = events.filter((event) => event.kind === 'echo');
  return {
    events,
    text: pieces.map(({ text }) => text).join(''),
    tokens: pieces.flatMap(({ tokens }) => tokens),
    logprobs: pieces.flatMap(({ logprobs }) => logprobs ?? []),
    echo: { text: echoes.map(({ text }) => text).join(''), logprobs: echoes.flatMap(({ logprobs }) => logprobs) },
    finished: events.find((event) => event.kind === 'finished'),
  };
}

/** Nobody waits or runs, and what the places hold is at most what settled sequences have left there. */
export function isIdle({ engine }: TestBench): boolean {
  const { running, waiting } = engine.load();
  return running === 0 && waiting === 0;
}

/** The tokens of prompts that were read, in all steps: those works that read more than one, or did not choose. */
export function tokensRead(bench: TestBench): number {
  return bench.steps.flat().reduce((sum, { tokens }) => sum + tokens.length, 0);
}
