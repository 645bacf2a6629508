import { mixSeed } from './mix-seed.js';
import type { ResolvedSampling } from './token-engine.js';

/** So that this draw and the choice itself have nothing to do with each other. */
const SALT = 0x58544331;

/** Above this, at most one token is likely enough, and XTC leaves the least likely of them. */
const THRESHOLD_MAX = 0.5;

/** Whether XTC leaves out the likeliest tokens at one index of an answer: a draw that follows from seed and index. */
export function xtcFires({ seed, xtcProbability, xtcThreshold }: ResolvedSampling, index: number): boolean {
  if (xtcProbability <= 0 || xtcThreshold > THRESHOLD_MAX) return false;
  return mixSeed(seed ^ SALT, index) / 2 ** 32 < xtcProbability;
}
