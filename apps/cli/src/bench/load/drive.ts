import { setTimeout as sleep } from 'node:timers/promises';
import type { Answered, Failed, LoadRequest, Outcome } from './ask-streamed.js';
import type { Message, Scenario } from './scenarios.js';

/** Something that is asked; every ending is an outcome. */
export interface LoadTarget {
  ask(request: LoadRequest, signal: AbortSignal): Promise<Outcome>;
  /** Asks otherwise from here on, where that refusal says what the server does not know. Gives back a sentence; undefined: it can't. */
  adaptTo?(refused: Failed): string | undefined;
}

/** So many clients, each of which asks again as soon as it has its answer; or so many requests a second, whoever waits. */
export type Pace =
  | { readonly kind: 'closed'; readonly clients: number }
  | { readonly kind: 'open'; readonly perSecond: number; readonly atOnceMax: number };

export interface Drive {
  readonly scenario: Scenario;
  /** Of the first session. Runs that must not share prompts have different ones. */
  readonly firstSession: number;
  /** Fewer if the time is up before. */
  readonly requests: number;
  /** No request is sent after so long; those that were are waited for. */
  readonly forMs: number;
  readonly pace: Pace;
}

/**
 * Sends the requests of a scenario at a pace, and tells what comes of each. Gives back how many milliseconds it took from the first
 * request to the last answer.
 *
 * Where the pace is open, a request is due at a moment that does not depend on the answers, and its times count from there:
 * a server that stalls would otherwise be asked less while it does, and look quick (which is called coordinated omission).
 */
export async function drive(
  target: LoadTarget,
  plan: Drive,
  signal: AbortSignal,
  onOutcome: (outcome: Outcome) => void,
): Promise<number> {
  const startedMs = performance.now();
  const run = new Run(target, plan, startedMs, signal, onOutcome);
  const { pace } = plan;
  if (pace.kind === 'closed') await closedLoop(run, pace.clients);
  else await openLoop(run, plan, pace, startedMs, signal);
  return performance.now() - startedMs;
}

async function closedLoop(run: Run, clients: number): Promise<void> {
  const client = async () => {
    while (run.isOpen) await run.session(performance.now());
  };
  await Promise.all(Array.from({ length: clients }, client));
}

async function openLoop(
  run: Run,
  { scenario }: Drive,
  { perSecond, atOnceMax }: Pace & { kind: 'open' },
  startedMs: number,
  signal: AbortSignal,
): Promise<void> {
  const under = new Set<Promise<void>>();
  const random = randomNumbers();
  let dueMs = startedMs;
  while (run.isOpenAt(dueMs)) {
    const waitMs = dueMs - performance.now();
    if (waitMs > 0) await sleep(waitMs, undefined, { signal });
    if (under.size >= atOnceMax) run.leaveOut();
    else {
      const session = run.session(dueMs).finally(() => under.delete(session));
      under.add(session);
      session.catch(() => undefined); // It fails only when all is stopped, which the loop hears of, too.
    }
    dueMs += gapToNextMs(perSecond / scenario.turnsPerSession, random);
  }
  await Promise.all(under);
}

/** People do not take turns: gaps are exponential, so that now and then several come at once (a Poisson process). */
function gapToNextMs(perSecond: number, random: () => number): number {
  return (-Math.log(1 - random()) * 1_000) / perSecond;
}

/**
 * Chosen among many: with it, as many requests come as the rate says, to 4 % from the fiftieth on. With most, the first few hundred are a
 * tenth too many or too few, and a short run has another rate than it was told.
 */
const SEED = 1_127_588;

/** From 0 to below 1, and the same in each run: two runs that are compared had the same crowds. (Mulberry32.) */
function randomNumbers(): () => number {
  let state = SEED;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * What all sessions of a drive share.
 *
 * Concurrency: a request is taken, and counted, before it is awaited, so that no two sessions take the last one.
 */
class Run {
  #taken = 0;
  #sessions = 0;

  constructor(
    private readonly target: LoadTarget,
    private readonly plan: Drive,
    private readonly startedMs: number,
    private readonly signal: AbortSignal,
    private readonly onOutcome: (outcome: Outcome) => void,
  ) {}

  get isOpen(): boolean {
    return this.isOpenAt(performance.now());
  }

  isOpenAt(ms: number): boolean {
    return this.#taken < this.plan.requests && ms - this.startedMs < this.plan.forMs && !this.signal.aborted;
  }

  /** The requests of one session, of which the first is due at `dueMs`, and each other when the one before is answered. */
  async session(dueMs: number): Promise<void> {
    const { scenario, firstSession } = this.plan;
    const session = firstSession + this.#sessions++;
    let before: readonly Message[] = [];
    let turnDueMs = dueMs;
    for (let turn = 0; turn < scenario.turnsPerSession && (turn === 0 || this.isOpen); turn++) {
      this.#taken += 1;
      const messages = scenario.messages(session, turn, before);
      const request = { messages, maxTokens: scenario.maxTokens, dueMs: turnDueMs };
      const outcome = await this.target.ask(request, this.signal);
      this.onOutcome(outcome);
      if (outcome.kind === 'failed') return; // What would follow it needs its answer.
      before = [...messages, answerMessage(outcome)];
      turnDueMs = performance.now();
    }
  }

  /** One that was due while as many as may be were under way. */
  leaveOut(): void {
    this.#taken += 1;
    const message = 'As many requests were under way as --at-once-max allows.';
    this.onOutcome({ kind: 'failed', code: 'not sent', message });
  }
}

function answerMessage({ text }: Answered): Message {
  return { role: 'assistant', content: text };
}
