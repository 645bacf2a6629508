/** A batch job and what is known of its answers before it is asked: made, watched, and looked at line by line. */
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI, { toFile } from 'openai';

export interface BatchPlan {
  readonly lines: number;
  /** Of each answer. */
  readonly tokens: number;
}

/** In the middle of the file: it is told in the error file, and costs no other its answer. */
const brokenLineOf = ({ lines }: BatchPlan) => Math.ceil(lines / 2);
const nameOf = (line: number) => `line-${line}`;
const LOOK_MS = 250;
const CLIENT_TIMEOUT_MS = 15_000;
const RETRIES = 100;
const EXAMPLES_MAX = 5;

/** Ownership: none; the batch lives on its gateway. */
export class WatchedBatch {
  readonly #client: OpenAI;
  readonly #plan: BatchPlan;
  readonly #id: string;

  private constructor(client: OpenAI, plan: BatchPlan, id: string) {
    this.#client = client;
    this.#plan = plan;
    this.#id = id;
  }

  static async make(url: string, plan: BatchPlan): Promise<WatchedBatch> {
    // It asks again while the gateway is away, as a client would that waits for hours.
    const client = new OpenAI({
      baseURL: `${url}/v1`,
      apiKey: 'any',
      maxRetries: RETRIES,
      timeout: CLIENT_TIMEOUT_MS,
    });
    const file = await client.files.create({
      file: await toFile(Buffer.from(inputOf(plan)), 'in.jsonl'),
      purpose: 'batch',
    });
    const { id } = await client.batches.create({
      input_file_id: file.id,
      endpoint: '/v1/chat/completions',
      completion_window: '24h',
    });
    return new WatchedBatch(client, plan, id);
  }

  /** What the ids of its requests begin with. */
  get prefix(): string {
    return this.#id.replace('_', '-');
  }

  look(): Promise<OpenAI.Batches.Batch> {
    return this.#client.batches.retrieve(this.#id);
  }

  async cancel(): Promise<void> {
    await this.#client.batches.cancel(this.#id);
  }

  /** Until so many of its lines are done. @throws Error when it is over before, or that takes too long. */
  async reaches(done: number, timeoutMs: number): Promise<void> {
    const batch = await this.#until(
      ({ request_counts: counts }) => counts!.completed + counts!.failed >= done,
      timeoutMs,
    );
    if (batch.completed_at != null) throw new Error(`it was completed before ${done} lines were seen to be done`);
  }

  async completed(timeoutMs: number): Promise<OpenAI.Batches.Batch> {
    return this.#until(({ status }) => ['completed', 'failed', 'expired', 'cancelled'].includes(status), timeoutMs);
  }

  /** What is not as it was promised, as sentences; none: every line was answered once, in its place. */
  async faults(): Promise<readonly string[]> {
    const { lines } = this.#plan;
    const batch = await this.look();
    const answers = await this.#read(batch.output_file_id);
    const errors = await this.#read(batch.error_file_id);
    const broken = brokenLineOf(this.#plan);
    const wanted = Array.from({ length: lines }, (_, index) => index + 1).filter((line) => line !== broken);
    const given = answers.map(({ custom_id }) => custom_id);
    const counts = batch.request_counts!;
    return [
      ...(batch.status === 'completed' ? [] : [`it is ${batch.status}`]),
      ...(counts.total === lines && counts.completed === lines - 1 && counts.failed === 1
        ? []
        : [`of ${lines} lines its counts are ${JSON.stringify(counts)}`]),
      ...missing(wanted.map(nameOf), given),
      ...twice(given),
      ...(given.join() === wanted.map(nameOf).join() ? [] : ['answers are not those of the lines, in their order']),
      ...answers
        .filter(({ response }) => response?.status_code !== 200)
        .map(({ custom_id }) => `${custom_id} has no answer`),
      ...(errors.length === 1 && errors[0]?.error?.line === broken
        ? []
        : [`errors are ${JSON.stringify(errors).slice(0, 500)}`]),
    ].slice(0, EXAMPLES_MAX);
  }

  async #until(isSo: (batch: OpenAI.Batches.Batch) => boolean, timeoutMs: number): Promise<OpenAI.Batches.Batch> {
    const endMs = performance.now() + timeoutMs;
    for (;;) {
      const batch = await this.look();
      if (isSo(batch)) return batch;
      if (performance.now() > endMs)
        throw new Error(`after ${timeoutMs} ms the batch is ${batch.status}: ${JSON.stringify(batch.request_counts)}`);
      await sleep(LOOK_MS);
    }
  }

  async #read(fileId: string | null | undefined): Promise<readonly OutputLine[]> {
    if (fileId == null) return [];
    const text = await (await this.#client.files.content(fileId)).text();
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as OutputLine);
  }
}

interface OutputLine {
  readonly custom_id: string | null;
  readonly response: { readonly status_code: number } | null;
  readonly error: { readonly line: number } | null;
}

function inputOf(plan: BatchPlan): string {
  const broken = brokenLineOf(plan);
  const lines = Array.from({ length: plan.lines }, (_, index) => {
    const line = index + 1;
    const body = {
      messages: [{ role: 'user', content: `Count from ${line}.` }],
      max_tokens: plan.tokens,
      temperature: 0,
    };
    const text = JSON.stringify({ custom_id: nameOf(line), method: 'POST', url: '/v1/chat/completions', body });
    return line === broken ? text.slice(0, -3) : text;
  });
  return `${lines.join('\n')}\n`;
}

function missing(wanted: readonly string[], given: readonly (string | null)[]): string[] {
  const known = new Set(given);
  return wanted.filter((name) => !known.has(name)).map((name) => `${name} was never answered`);
}

function twice(given: readonly (string | null)[]): string[] {
  const seen = new Set<string | null>();
  return given.filter((name) => seen.size === seen.add(name).size).map((name) => `${name} was answered twice`);
}
