import type { ErrorCode } from '@millrace/contracts';
import { Circuit, type CircuitLimits } from './circuit.js';
import { hashOf } from './prompt-prefix.js';

export interface StandingLimits extends CircuitLimits {
  /** How long one that is new, or was away, gets less than its share. */
  readonly slowStartMs: number;
}

/** What a worker gets of its share at first. */
const SHARE_AT_FIRST = 0.1;
/** A worker that has no room, or stops, says so in its next report: until then it is left alone. */
const PAUSE_MS = 1_000;
/** A report may be so old: until then what we had with a worker may be part of it. */
const REPORT_AGE_MS_MAX = 1_000;
/** Of models that a worker could not serve, so many are remembered. */
const MODEL_CIRCUITS_MAX = 64;

/** Failures that are about one model of a worker, which may well serve its others. */
const OF_THE_MODEL: ReadonlySet<ErrorCode> = new Set(['model_not_found', 'model_not_ready', 'model_failed']);
/** No failures: it has enough to do, or is about to stop. */
const NO_ROOM: ReadonlySet<ErrorCode> = new Set(['rate_limit_exceeded', 'shutting_down']);

let readers = 0;

/** What this gateway has with one worker, and how it fared. */
export class WorkerStanding {
  readonly seed: number;
  readonly circuit: Circuit;
  /** Tokens that are expected of what is out with it: of prompts until they are answered, and of answers. */
  tokens = 0;
  #sequences = 0;
  #reader = ++readers;
  #readySinceMs: number;
  #pausedUntilMs = 0;
  readonly #modelCircuits = new Map<string, Circuit>();
  /** The most sequences within this window, and within the last. */
  #peak = 0;
  #peakBefore = 0;
  #windowSinceMs = 0;

  constructor(
    address: string,
    private readonly limits: StandingLimits,
    nowMs: number,
  ) {
    this.seed = hashOf(address);
    this.circuit = new Circuit(limits);
    this.#readySinceMs = nowMs;
  }

  /** Another one after each time that it was away: what it had read by then is not known any more. */
  get reader(): number {
    return this.#reader;
  }

  becameReady(nowMs: number): void {
    this.#reader = ++readers;
    this.#readySinceMs = nowMs;
  }

  /** Its connection broke. Counted once, however many requests it took along. */
  lost(nowMs: number): void {
    this.circuit.failed(nowMs);
  }

  /** Answers that are out with it. */
  get sequences(): number {
    return this.#sequences;
  }

  /** From a tenth up to 1. */
  shareAt(nowMs: number): number {
    const { slowStartMs } = this.limits;
    const age = nowMs - this.#readySinceMs;
    return age >= slowStartMs ? 1 : SHARE_AT_FIRST + (1 - SHARE_AT_FIRST) * (age / slowStartMs);
  }

  blockedUntilMs(model: string): number {
    const ofModel = this.#modelCircuits.size === 0 ? 0 : (this.#modelCircuits.get(model)?.blockedUntilMs ?? 0);
    return Math.max(this.circuit.blockedUntilMs, this.#pausedUntilMs, ofModel);
  }

  leastBadMs(model: string): number {
    const ofModel = this.#modelCircuits.get(model);
    return Math.max(this.circuit.open ? this.circuit.untilMs : 0, this.#pausedUntilMs, ofModel?.untilMs ?? 0);
  }

  take(tokens: number, sequences: number, model: string, nowMs: number): void {
    this.#turnWindow(nowMs);
    this.tokens += tokens;
    this.#sequences += sequences;
    this.#peak = Math.max(this.#peak, this.#sequences);
    this.circuit.pass();
    this.#modelCircuits.get(model)?.pass();
  }

  giveBack(tokens: number, sequences: number): void {
    this.tokens -= tokens;
    this.#sequences -= sequences;
  }

  /** The most that we had with it since its oldest possible report. */
  sequencesOfLate(nowMs: number): number {
    this.#turnWindow(nowMs);
    return Math.max(this.#peak, this.#peakBefore);
  }

  /** @returns whether it was left alone until now. */
  answered(model: string, nowMs: number): boolean {
    const wasOpen = this.circuit.answered();
    if (wasOpen) this.#readySinceMs = nowMs;
    this.#modelCircuits.get(model)?.answered();
    return wasOpen;
  }

  /** @param answered whether anything came of it. */
  ended(model: string, answered: boolean): void {
    if (!answered) {
      this.circuit.abandoned();
      this.#modelCircuits.get(model)?.abandoned();
      return;
    }
    this.circuit.succeeded();
    this.#modelCircuits.delete(model);
  }

  failed(code: ErrorCode, model: string, nowMs: number): void {
    if (NO_ROOM.has(code)) {
      this.#pausedUntilMs = nowMs + PAUSE_MS;
      this.ended(model, false);
    } else if (OF_THE_MODEL.has(code)) {
      this.#modelCircuit(model).failed(nowMs);
      this.circuit.abandoned();
    } else {
      this.circuit.failed(nowMs);
      this.#modelCircuits.get(model)?.abandoned();
    }
  }

  #modelCircuit(model: string): Circuit {
    const known = this.#modelCircuits.get(model);
    if (known) return known;
    // One failure is enough: a worker that does not have a model will not have it the next time.
    const circuit = new Circuit({ ...this.limits, circuitFailures: 1 });
    this.#modelCircuits.set(model, circuit);
    if (this.#modelCircuits.size > MODEL_CIRCUITS_MAX) {
      this.#modelCircuits.delete(this.#modelCircuits.keys().next().value!);
    }
    return circuit;
  }

  #turnWindow(nowMs: number): void {
    const age = nowMs - this.#windowSinceMs;
    if (age < REPORT_AGE_MS_MAX) return;
    this.#peakBefore = age < 2 * REPORT_AGE_MS_MAX ? this.#peak : this.#sequences;
    this.#peak = this.#sequences;
    this.#windowSinceMs = nowMs;
  }
}
