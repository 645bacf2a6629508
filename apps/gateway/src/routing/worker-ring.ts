import { scrambled } from './prompt-prefix.js';

/** Places of a prompt on the ring. With so many, everybody is the nearest of about as many prompts as anybody else. */
const PROBES = 16;

/** Of the ring, the part that prompts of one kind go to: 2 ** -`narrowing` of it. */
export interface Arc {
  /** Where it begins: 32 bits. */
  readonly from: number;
  /** 0: the whole ring. */
  readonly narrowing: number;
}

/**
 * The workers of a model in a circle, each at the hash of its address: the same in every gateway. A worker that joins or leaves moves
 * only what goes, or went, to itself.
 *
 * Consistent hashing with several probes: a prompt has some places, and goes to the worker that follows on one of them most closely.
 * That is as even as giving each worker hundreds of places, and takes one number for each: a ring of a thousand is made in a
 * millisecond, whenever one joins.
 */
export class WorkerRing<T extends { readonly seed: number }> {
  readonly #ones: readonly T[];
  readonly #seeds: Uint32Array;

  constructor(ones: readonly T[]) {
    this.#ones = [...ones].sort((a, b) => a.seed - b.seed);
    this.#seeds = Uint32Array.from(this.#ones, ({ seed }) => seed);
  }

  /** Those that this prompt leads to, the nearest first, each once; `PROBES` at most. */
  nearest(prompt: number, { from, narrowing }: Arc): readonly T[] {
    const found: { readonly index: number; readonly distance: number }[] = [];
    for (let probe = 0; probe < PROBES && this.#ones.length > 0; probe++) {
      // The low bits: an arc of twice the width keeps half of the prompts where they were.
      const within =
        narrowing >= 32 ? 0 : (scrambled(prompt + Math.imul(probe, 0x9e3779b9)) << narrowing) >>> narrowing;
      const place = (from + within) >>> 0;
      const index = this.#following(place);
      found.push({ index, distance: (this.#seeds[index]! - place) >>> 0 });
    }
    found.sort((a, b) => a.distance - b.distance);
    return [...new Set(found.map(({ index }) => index))].map((index) => this.#ones[index]!);
  }

  /** The first at that place or behind it. */
  #following(place: number): number {
    let low = 0;
    let high = this.#seeds.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#seeds[middle]! < place) low = middle + 1;
      else high = middle;
    }
    return low === this.#seeds.length ? 0 : low;
  }
}
