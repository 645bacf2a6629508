import type { ModelDescription } from '@millrace/contracts';
import { WorkerChoice } from '@millrace/gateway/routing/worker-choice';
import { WorkerDirectory } from '@millrace/gateway/routing/worker-directory';

/**
 * The choice of workers as the product makes it, among workers that are only reckoned: a clock that jumps from event to event, people
 * who talk with a model, gateways that each know what they sent, and workers whose memory for what they have read is bounded.
 */
export interface Scenario {
  readonly name: string;
  readonly seed: number;
  readonly workers: number;
  /** Answers under way at a time, once it runs. */
  readonly streams: number;
  /** Each request comes to any of them. */
  readonly gateways: number;
  readonly seconds: number;
  /** Figures count from here on. */
  readonly warmUpSeconds: number;
  readonly affinityLoadPercent?: number;
  /** In place of `CACHE_TOKENS`. */
  readonly cacheTokens?: number;
  /** Whether prompts are looked at; without, only the load decides. */
  readonly affinity: boolean;
  /** At this time these leave, and come back empty at the other. */
  readonly away?: { readonly workers: number; readonly fromSeconds: number; readonly toSeconds: number };
}

/**
 * What a worker has in hand. `streams`: answers under way. `expected`: tokens as a gateway reckons them, each answer as long as
 * `answerTokensEstimate` until it ends, and of a prompt what was not read before until the answer begins. `remaining`: tokens that are
 * really still to be written and read, which nobody can know.
 */
export type Measure = 'streams' | 'expected' | 'remaining';
export const MEASURES = ['streams', 'expected', 'remaining'] as const;

export interface Moment {
  readonly seconds: number;
  readonly streams: number;
  /** Tokens found read, of those that one infinitely large worker would have found. */
  readonly hits: number;
  /** The most loaded worker, of the mean, by each measure. Of those that are there and not new. */
  readonly ratios: Readonly<Record<Measure, number>>;
}

export interface Outcome {
  readonly scenario: Scenario;
  readonly decisions: number;
  readonly hits: number;
  /** What the infinitely large worker finds, of all tokens of prompts. */
  readonly idealPart: number;
  /** Of what the infinitely large worker finds, in the last quarter: whether it sinks. */
  readonly hitsAtLast: number;
  /** The largest of all moments, and the mean of the moments' largest. */
  readonly ratiosMax: Readonly<Record<Measure, number>>;
  readonly ratiosMean: Readonly<Record<Measure, number>>;
  readonly reasons: Readonly<Record<string, number>>;
  /** How long each choice took by the clock, hashing included, in the order in which they were made. */
  readonly decisionMicros: Float64Array;
  /** Processor time of one, on the average: others on the machine do not count. Its clock may be too coarse for a single choice. */
  readonly cpuMicrosMean: number;
  readonly moments: readonly Moment[];
}

// ------------------------------------------------------------------------------------------------------- what is assumed

const CHARS_PER_TOKEN = 4;
const SYSTEM_PROMPTS = 500;
/** Prompt by prompt, from the most used on, as 1, 1/2, 1/3 …: the first has a seventh of all conversations. */
const ZIPF = 1;
const SYSTEM_TOKENS_MEDIAN = 800;
const SYSTEM_TOKENS_MIN = 40;
const SYSTEM_TOKENS_MAX = 6_000;
const QUESTION_TOKENS_MEDIAN = 60;
const QUESTION_TOKENS_MAX = 2_000;
const ANSWER_TOKENS_MEDIAN = 180;
const ANSWER_TOKENS_MAX = 1_024;
/** After each turn the conversation goes on with this probability: five turns on the average. */
const GOES_ON = 0.8;
const THINKING_SECONDS_MEAN = 20;
const READ_TOKENS_PER_SECOND = 5_000;
const WRITTEN_TOKENS_PER_SECOND = 30;
/** What a worker keeps of what it has read and written: 32 GB where a token takes 128 KB, as with a model of eight thousand million. */
const CACHE_TOKENS = 262_144;
const REPORT_MS = 1_000;
const MOMENT_MS = 1_000;
const SLOW_START_MS = 10_000;
const LIMITS = {
  affinityLoadPercent: 125,
  affinityEntriesMax: 100_000,
  answerTokensEstimate: 256,
  slowStartMs: SLOW_START_MS,
  circuitFailures: 3,
  circuitOpenMs: 5_000,
};

// ------------------------------------------------------------------------------------------------------------ chance

/** Mulberry32: the same numbers for the same seed, everywhere. */
export function chance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function normal(next: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
}

function lognormal(next: () => number, median: number, spread: number, min: number, max: number): number {
  return Math.round(Math.min(max, Math.max(min, median * Math.exp(spread * normal(next)))));
}

function exponential(next: () => number, mean: number): number {
  return -Math.log(1 - next()) * mean;
}

// ------------------------------------------------------------------------------------------------------------ workers

const MODEL: ModelDescription = {
  id: 'm',
  aliases: [],
  contextLength: 32_768,
  capabilities: ['chat'],
  engine: 'simulated',
  created: 0,
  samplingDefaults: {},
  isDefault: true,
};

/** A machine: what it has in hand, and what it still has of what it read. */
class Machine {
  streams = 0;
  expected = 0;
  /** Of each stream, when it began to write and how much. */
  readonly writing = new Set<{ readonly fromMs: number; readonly unread: number; readonly answer: number }>();
  /** As it reported last. */
  reported = 0;
  present = true;
  sinceMs = Number.NEGATIVE_INFINITY;
  #cached = 0;
  readonly #cacheTokens: number;
  /** By conversation or system prompt, the one used longest ago first. */
  readonly #cache = new Map<string, number>();
  readonly #busy = new Map<string, number>();

  constructor(cacheTokens = CACHE_TOKENS) {
    this.#cacheTokens = cacheTokens;
  }

  cachedOf(key: string): number {
    return this.#cache.get(key) ?? 0;
  }

  /** It is held from now on, until `release`. */
  hold(key: string, tokens: number): void {
    this.#busy.set(key, (this.#busy.get(key) ?? 0) + 1);
    this.#put(key, tokens);
  }

  release(key: string, tokens: number): void {
    const left = (this.#busy.get(key) ?? 1) - 1;
    if (left > 0) this.#busy.set(key, left);
    else this.#busy.delete(key);
    this.#put(key, tokens);
    for (const [oldest, size] of this.#cache) {
      if (this.#cached <= this.#cacheTokens) return;
      if (this.#busy.has(oldest)) continue;
      this.#cache.delete(oldest);
      this.#cached -= size;
    }
  }

  /** Reading goes on evenly until `fromMs`, then writing until the end. */
  remainingAt(nowMs: number): number {
    let tokens = 0;
    for (const { fromMs, unread, answer } of this.writing) {
      const unreadLeft = Math.min(unread, Math.max(0, ((fromMs - nowMs) / 1000) * READ_TOKENS_PER_SECOND));
      const written = Math.max(0, ((nowMs - fromMs) / 1000) * WRITTEN_TOKENS_PER_SECOND);
      tokens += unreadLeft + Math.max(0, answer - written);
    }
    return tokens;
  }

  forget(): void {
    this.#cache.clear();
    this.#cached = 0;
  }

  #put(key: string, tokens: number): void {
    const before = this.cachedOf(key);
    const after = Math.max(before, tokens);
    this.#cache.delete(key);
    this.#cache.set(key, after);
    this.#cached += after - before;
  }
}

/** A machine as one gateway sees it. */
class SeenWorker {
  outstanding = 0;
  outstandingAtReport = 0;
  readonly models = [MODEL];
  readonly heard = true;
  readonly address: string;
  readonly machine: Machine;
  readonly #watchers = new Set<() => void>();

  constructor(address: string, machine: Machine) {
    this.address = address;
    this.machine = machine;
  }

  state() {
    const { address, outstanding, outstandingAtReport, models, machine } = this;
    const phase: 'ready' | 'draining' = machine.present ? 'ready' : 'draining';
    const load = { running: machine.reported, waiting: 0, outstanding, outstandingAtReport };
    return { address, phase, detail: '', version: '', ...load, models };
  }

  watch(listener: () => void): () => void {
    this.#watchers.add(listener);
    return () => this.#watchers.delete(listener);
  }

  tell(): void {
    for (const watcher of this.#watchers) watcher();
  }
}

// -------------------------------------------------------------------------------------------------------- conversations

/** As a prompt holds them: `role` and `content`. */
type Message = Readonly<Record<string, string>>;

interface Conversation {
  readonly id: number;
  readonly system: number;
  messages: Message[];
  /** Of all messages so far. */
  tokens: number;
  turns: number;
}

/** Texts that differ: pieces of one long text of chance, which share its memory. */
class Texts {
  readonly #pool: string;
  readonly #next: () => number;

  constructor(next: () => number) {
    this.#next = next;
    const letters = 'etaoin shrdlucmfwypvbgkjqxz.,';
    this.#pool = Array.from({ length: 1_000_000 }, () => letters[Math.floor(next() * letters.length)]).join('');
  }

  of(tokens: number): string {
    const chars = tokens * CHARS_PER_TOKEN;
    const from = Math.floor(this.#next() * (this.#pool.length - chars));
    return this.#pool.slice(from, from + chars);
  }
}

/** Events by time. A binary heap: the earliest is at the top. */
class Agenda {
  readonly #heap: { readonly atMs: number; readonly act: () => void }[] = [];

  add(atMs: number, act: () => void): void {
    const heap = this.#heap;
    let at = heap.push({ atMs, act }) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (heap[parent]!.atMs <= heap[at]!.atMs) break;
      [heap[parent], heap[at]] = [heap[at]!, heap[parent]!];
      at = parent;
    }
  }

  next() {
    const heap = this.#heap;
    const top = heap[0];
    const last = heap.pop();
    if (heap.length === 0 || last === undefined) return top;
    heap[0] = last;
    for (let at = 0; ; ) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < heap.length && heap[child]!.atMs < heap[least]!.atMs) least = child;
      }
      if (least === at) return top;
      [heap[least], heap[at]] = [heap[at]!, heap[least]!];
      at = least;
    }
  }
}

// ------------------------------------------------------------------------------------------------------- the simulation

class Simulation {
  #nowMs = 0;
  readonly #agenda = new Agenda();
  readonly #next: () => number;
  readonly #texts: Texts;
  readonly #machines: Machine[];
  readonly #gateways: { readonly seen: readonly SeenWorker[]; readonly choice: WorkerChoice<SeenWorker> }[];
  readonly #systems: { readonly text: string; readonly tokens: number }[];
  readonly #zipf: number[];
  readonly #seenSystems = new Set<number>();
  readonly #scenario: Scenario;
  #conversations = 0;
  readonly #window = { found: 0, ideal: 0 };
  readonly #last = { found: 0, ideal: 0 };
  readonly #sum = { found: 0, ideal: 0, prompt: 0 };
  readonly #reasons: Record<string, number> = {};
  readonly #micros: number[] = [];
  #cpuMicros = 0;
  readonly #moments: Moment[] = [];

  constructor(scenario: Scenario) {
    this.#scenario = scenario;
    this.#next = chance(scenario.seed);
    this.#texts = new Texts(this.#next);
    this.#machines = Array.from({ length: scenario.workers }, () => new Machine(scenario.cacheTokens));
    const { affinityLoadPercent = LIMITS.affinityLoadPercent } = scenario;
    const limits = { ...LIMITS, affinityLoadPercent };
    this.#gateways = Array.from({ length: scenario.gateways }, () => {
      const seen = this.#machines.map(
        (machine, index) => new SeenWorker(`10.0.${index >> 8}.${index & 255}:8100`, machine),
      );
      return {
        seen,
        choice: new WorkerChoice(new WorkerDirectory(seen), limits, {
          clock: () => this.#nowMs,
          random: chance(this.#scenario.seed),
        }),
      };
    });
    this.#systems = Array.from({ length: SYSTEM_PROMPTS }, () => {
      const tokens = lognormal(this.#next, SYSTEM_TOKENS_MEDIAN, 0.8, SYSTEM_TOKENS_MIN, SYSTEM_TOKENS_MAX);
      return { text: this.#texts.of(tokens), tokens };
    });
    let sum = 0;
    this.#zipf = this.#systems.map((_, rank) => (sum += 1 / (rank + 1) ** ZIPF));
  }

  run(): Outcome {
    const { seconds, streams, away, workers } = this.#scenario;
    const answering = (ANSWER_TOKENS_MEDIAN * Math.exp(0.7 ** 2 / 2)) / WRITTEN_TOKENS_PER_SECOND;
    const people = Math.round(streams * (1 + THINKING_SECONDS_MEAN / answering));
    for (let one = 0; one < people; one++)
      this.#after(exponential(this.#next, THINKING_SECONDS_MEAN), () => this.#begin());
    for (const index of this.#machines.keys()) this.#report(index, (index % 1000) / 1000);
    this.#lookEachMoment();
    if (away) {
      const leaving = this.#machines.filter((_, index) => index % Math.floor(workers / away.workers) === 0);
      this.#after(away.fromSeconds, () => this.#leave(leaving));
      this.#after(away.toSeconds, () => this.#come(leaving));
    }
    for (let event = this.#agenda.next(); event && event.atMs <= seconds * 1000; event = this.#agenda.next()) {
      this.#nowMs = event.atMs;
      event.act();
    }
    for (const { choice } of this.#gateways) choice.close();
    return this.#outcome();
  }

  #after(seconds: number, act: () => void): void {
    this.#agenda.add(this.#nowMs + seconds * 1000, act);
  }

  #begin(): void {
    const drawn = this.#next() * this.#zipf.at(-1)!;
    const system = this.#zipf.findIndex((sum) => sum >= drawn);
    const { text, tokens } = this.#systems[system]!;
    const id = ++this.#conversations;
    this.#ask({ id, system, messages: [{ role: 'system', content: text }], tokens, turns: 0 });
  }

  #ask(conversation: Conversation): void {
    const question = lognormal(this.#next, QUESTION_TOKENS_MEDIAN, 0.9, 4, QUESTION_TOKENS_MAX);
    const before = conversation.tokens;
    conversation.messages = [...conversation.messages, { role: 'user', content: this.#texts.of(question) }];
    conversation.tokens += question;
    const prompt = { kind: 'chat', messages: conversation.messages, tools: [], templateVariables: {} } as const;
    const gateway = this.#gateways[Math.floor(this.#next() * this.#gateways.length)]!;
    const wanted = {
      prompt: this.#scenario.affinity ? prompt : undefined,
      promptTokens: conversation.tokens,
      sequences: 1,
      answerTokensMax: undefined,
    };
    const busy = process.threadCpuUsage();
    const began = performance.now();
    const chosen = gateway.choice.choose('m', wanted)!;
    this.#micros.push((performance.now() - began) * 1000);
    const { user, system } = process.threadCpuUsage(busy);
    this.#cpuMicros += user + system;
    if (this.#nowMs >= this.#scenario.warmUpSeconds * 1000) {
      this.#reasons[chosen.reason] = (this.#reasons[chosen.reason] ?? 0) + 1;
    }
    this.#answer(conversation, before, chosen);
  }

  #answer(
    conversation: Conversation,
    before: number,
    chosen: Disposable & { readonly worker: SeenWorker; answered(): void },
  ) {
    const { worker } = chosen;
    const { machine } = worker;
    const { tokens: prompt } = conversation;
    const read = this.#count(conversation, before, machine);
    const answer = lognormal(this.#next, ANSWER_TOKENS_MEDIAN, 0.7, 1, ANSWER_TOKENS_MAX);
    const [own, common] = [`c${conversation.id}`, `s${conversation.system}`];
    const { tokens: systemTokens } = this.#systems[conversation.system]!;
    machine.hold(common, systemTokens);
    machine.hold(own, prompt - systemTokens);
    machine.streams++;
    const unread = prompt - read;
    machine.expected += unread + LIMITS.answerTokensEstimate;
    const readingSeconds = unread / READ_TOKENS_PER_SECOND;
    const stream = { fromMs: this.#nowMs + readingSeconds * 1000, unread, answer };
    machine.writing.add(stream);
    worker.outstanding++;
    this.#after(readingSeconds, () => {
      chosen.answered();
      machine.expected -= unread;
    });
    this.#after(readingSeconds + answer / WRITTEN_TOKENS_PER_SECOND, () => {
      chosen[Symbol.dispose]();
      worker.outstanding--;
      machine.streams--;
      machine.expected -= LIMITS.answerTokensEstimate;
      machine.writing.delete(stream);
      machine.release(common, systemTokens);
      machine.release(own, prompt + answer - systemTokens);
      this.#goOn(conversation, answer);
    });
  }

  /** @returns how much of the prompt the machine still has. */
  #count({ id, system, tokens, turns }: Conversation, before: number, machine: Machine): number {
    const common = machine.cachedOf(`s${system}`);
    const own = common > 0 ? machine.cachedOf(`c${id}`) : 0;
    const found = Math.min(before, common + own);
    const ideal = turns > 0 || this.#seenSystems.has(system) ? before : 0;
    this.#seenSystems.add(system);
    this.#window.found += found;
    this.#window.ideal += ideal;
    const { seconds, warmUpSeconds } = this.#scenario;
    if (this.#nowMs >= (seconds - (seconds - warmUpSeconds) / 4) * 1000) {
      this.#last.found += found;
      this.#last.ideal += ideal;
    }
    if (this.#nowMs >= warmUpSeconds * 1000) {
      this.#sum.found += found;
      this.#sum.ideal += ideal;
      this.#sum.prompt += tokens;
    }
    return found;
  }

  #goOn(conversation: Conversation, answer: number): void {
    const goesOn = this.#next() < GOES_ON;
    conversation.turns++;
    conversation.messages = [...conversation.messages, { role: 'assistant', content: this.#texts.of(answer) }];
    conversation.tokens += answer;
    this.#after(exponential(this.#next, THINKING_SECONDS_MEAN), () =>
      goesOn ? this.#ask(conversation) : this.#begin(),
    );
  }

  #report(index: number, inSeconds: number): void {
    this.#after(inSeconds, () => {
      const machine = this.#machines[index]!;
      machine.reported = machine.streams;
      for (const { seen } of this.#gateways) seen[index]!.outstandingAtReport = seen[index]!.outstanding;
      this.#report(index, REPORT_MS / 1000);
    });
  }

  #leave(machines: readonly Machine[]): void {
    for (const machine of machines) machine.present = false;
    this.#tell(machines);
  }

  #come(machines: readonly Machine[]): void {
    for (const machine of machines) {
      machine.present = true;
      machine.sinceMs = this.#nowMs;
      machine.forget();
    }
    this.#tell(machines);
  }

  #tell(machines: readonly Machine[]): void {
    const changed = new Set(machines);
    for (const { seen } of this.#gateways) for (const worker of seen) if (changed.has(worker.machine)) worker.tell();
  }

  #lookEachMoment(): void {
    this.#after(MOMENT_MS / 1000, () => {
      const { found, ideal } = this.#window;
      this.#window.found = 0;
      this.#window.ideal = 0;
      const settled = this.#settled();
      this.#moments.push({
        seconds: this.#nowMs / 1000,
        streams: this.#machines.reduce((sum, { streams }) => sum + streams, 0),
        hits: ideal === 0 ? 1 : found / ideal,
        ratios: {
          streams: ratio(settled.map(({ streams }) => streams)),
          expected: ratio(settled.map(({ expected }) => expected)),
          remaining: ratio(settled.map((machine) => machine.remainingAt(this.#nowMs))),
        },
      });
      this.#lookEachMoment();
    });
  }

  /** Who is there, and for long enough to have its share. */
  #settled(): readonly Machine[] {
    return this.#machines.filter(({ present, sinceMs }) => present && this.#nowMs - sinceMs > SLOW_START_MS);
  }

  #outcome(): Outcome {
    const { warmUpSeconds } = this.#scenario;
    const counted = this.#moments.filter(({ seconds }) => seconds > warmUpSeconds);
    const over = (of: (ratios: readonly number[]) => number) =>
      Object.fromEntries(
        MEASURES.map((measure) => [measure, of(counted.map(({ ratios }) => ratios[measure]))]),
      ) as Record<Measure, number>;
    return {
      scenario: this.#scenario,
      decisions: this.#micros.length,
      hits: this.#sum.found / this.#sum.ideal,
      idealPart: this.#sum.ideal / this.#sum.prompt,
      hitsAtLast: this.#last.found / this.#last.ideal,
      ratiosMax: over((ratios) => Math.max(...ratios)),
      ratiosMean: over(mean),
      reasons: this.#reasons,
      decisionMicros: Float64Array.from(this.#micros),
      cpuMicrosMean: this.#cpuMicros / this.#micros.length,
      moments: this.#moments,
    };
  }
}

export function simulate(scenario: Scenario): Outcome {
  return new Simulation(scenario).run();
}

/**
 * The same twice, and of each choice the time that was less: what it costs by itself is there both times, an interruption by another
 * process, or by the simulation's own garbage, is not.
 */
export function simulateTwice(scenario: Scenario): Outcome {
  const [first, second] = [simulate(scenario), simulate(scenario)];
  return {
    ...first,
    decisionMicros: first.decisionMicros.map((micros, at) => Math.min(micros, second.decisionMicros[at]!)),
  };
}

export function mean(numbers: readonly number[] | Float64Array): number {
  let sum = 0;
  for (const number of numbers) sum += number;
  return sum / Math.max(1, numbers.length);
}

function ratio(loads: readonly number[]): number {
  const usual = mean(loads);
  return usual === 0 ? 1 : Math.max(...loads) / usual;
}
