/** What one request took. Milliseconds from the moment it was sent. */
export interface Sample {
  readonly firstTokenMs: number;
  readonly totalMs: number;
  readonly tokens: number;
}

export interface BenchRequest {
  readonly prompt: string;
  readonly maxTokens: number;
}

/** Something that answers, and that is measured. */
export interface Target {
  /** @throws CommandError when it refuses or fails: figures with failures in them would be none. */
  ask(request: BenchRequest): Promise<Sample>;
  close(): Promise<void>;
}
