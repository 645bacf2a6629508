import type { Engine, ModelDescription } from '@millrace/contracts';

/** A model that can be served, and how it is brought there. */
export interface LibraryModel {
  readonly id: string;
  readonly aliases: readonly string[];
  readonly isDefault: boolean;
  /** Whether it is loaded at the start; others are on first use. */
  readonly loadsAtStart: boolean;
  /** After how long without use it is unloaded; 0: never for that. */
  readonly idleUnloadMs: number;
  /** Whether it is computed elsewhere: it needs no memory here, and what keeps it from loading may pass by itself. */
  readonly isElsewhere: boolean;
  /** What is said of it before anybody has looked at it; absent: nothing. */
  readonly foreseen?: ModelDescription | undefined;
  /**
   * Brings its files here, before each load; it may take long. They stay until what it gives back is disposed of, which the library does
   * when the model is unloaded. Absent: they are here.
   *
   * @throws Error in one sentence.
   */
  readonly bring?: ((report: Report, signal: AbortSignal) => Promise<Disposable>) | undefined;
  /** What its files look like from outside: another text once they are others. Cheap; never rejects. */
  stamp(): Promise<string>;
  /** Looks at what is to be loaded, without loading it. @throws Error in one sentence when it can't be loaded. */
  look(signal: AbortSignal): Promise<LookedAt>;
}

/** What a model needs and will say of itself, before it is loaded. */
export interface LookedAt {
  readonly description: ModelDescription;
  /** Memory that it is planned with. */
  readonly bytes: number;
  /** Sees whether the model can be loaded at all, at no risk for this process. Absent: nothing to be tried. */
  readonly trial?: ModelTrial | undefined;
  /** @throws Error in one sentence. */
  open(terms: OpenTerms): Promise<Engine>;
}

export interface ModelTrial {
  /** Memory that it takes while it lasts; at most what the model needs. */
  readonly bytes: number;
  /** @throws Error in one sentence. */
  run(report: Report, signal: AbortSignal): Promise<void>;
}

export interface OpenTerms {
  readonly report: Report;
  /**
   * To be called when the engine gave up.
   *
   * @param isSound whether the process is still good, so that loading the model again may mend it.
   */
  readonly onBroken: (error: unknown, isSound: boolean) => void;
  readonly signal: AbortSignal;
}

/** Says in a sentence where loading stands. */
export type Report = (detail: string) => void;
