/** What one request took. Milliseconds from the moment it was sent. */
export interface Sample {
  readonly firstTokenMs: number;
  readonly totalMs: number;
  readonly tokens: number;
  readonly promptTokens: number;
  /** Of the prompt's tokens, those that needed no computing. */
  readonly cachedTokens: number;
}

export interface BenchRequest {
  /** The user's message, or with `completion` the whole prompt. */
  readonly prompt: string;
  readonly maxTokens: number;
  /** Asks for a continuation of the prompt as it stands, without a chat template. */
  readonly completion?: boolean;
  /** Only in a chat. */
  readonly systemPrompt?: string;
  /** Absent: 0. */
  readonly temperature?: number;
  /** Every answer is as long as `maxTokens`. */
  readonly ignoreEos?: boolean;
  /** Told at once when the first text arrives. */
  readonly onFirstToken?: () => void;
}

/** Something that answers, and that is measured. */
export interface Target {
  /** @throws CommandError when it refuses or fails: figures with failures in them would be none. */
  ask(request: BenchRequest): Promise<Sample>;
  close(): Promise<void>;
}

export function messagesOf({
  systemPrompt,
  prompt,
}: Pick<BenchRequest, 'systemPrompt' | 'prompt'>): { role: string; content: string }[] {
  const system = systemPrompt === undefined ? [] : [{ role: 'system', content: systemPrompt }];
  return [...system, { role: 'user', content: prompt }];
}
