import { StringDecoder } from 'node:string_decoder';
import { Server, ServerCredentials, type ServerDuplexStream, status } from '@grpc/grpc-js';
import { type FinishReason, PROTOCOL_VERSION } from '@millrace/contracts';
import {
  type Failure,
  type GatewayFrame,
  InferenceService,
  type ModelDescription,
  type SequenceUpdate,
  type Start,
  type TokenLogprob,
  type WorkerDescription,
  type WorkerFrame,
} from '@millrace/contracts/protocol';
import { FakeWork, type WorkMessage, type WorkScript } from './fake-work.testing.js';

/** What else one token may bring: thoughts, pieces of calls, citations. With `unnumberedTokens` it is so many, and has no number. */
export type ScriptedPiece = Partial<
  Pick<SequenceUpdate, 'text' | 'reasoning' | 'calls' | 'citations' | 'unnumberedTokens'>
>;
export type ScriptedToken = string | Uint8Array | ScriptedPiece;

/** What a fake worker does with one sequence. */
export interface Script {
  /**
   * One token each; bytes that are no whole character are held back until they are, and a piece goes as it stands.
   * Absent: the last user message, or the prompt, word by word.
   */
  readonly answer?: readonly ScriptedToken[];
  /** Of every token of the answer. */
  readonly logprob?: number;
  /** After `answer`, tokens of this text without end. */
  readonly endless?: string;
  readonly reason?: FinishReason;
  /** The stop text that it says ended the answer. */
  readonly stopText?: string;
  /** Steps to let pass before the first token: a long prompt. */
  readonly stepsBeforeFirst?: number;
  /** After so many tokens it stands still until `release()`, so that a test can look, or do something, meanwhile. */
  readonly heldAfterTokens?: number;
  /** After so many tokens the sequence fails. */
  readonly failure?: Partial<Failure> & { readonly afterTokens?: number };
  /** After so many tokens the worker is gone, as after `kill -9`. */
  readonly dieAfterTokens?: number;
  /** What it says in place of every update of the sequence. */
  readonly tamper?: (update: SequenceUpdate) => SequenceUpdate;
  /** Leaves the sequence without an answer, and says nothing. */
  readonly silent?: boolean;
}

export interface FakeWorkerOptions {
  /** `answer` counts from 0 for the Start's own sequence, on to its siblings. */
  readonly script?: (start: Start, answer: number) => Script;
  readonly work?: (message: WorkMessage) => WorkScript;
  readonly stepMs?: number;
  readonly models?: readonly Partial<ModelDescription>[];
  readonly port?: number;
  readonly protocolVersion?: number;
  readonly state?: string;
  readonly credentials?: ServerCredentials;
  /** Sends no Load of its own accord. */
  readonly mute?: boolean;
}

interface Running {
  readonly sequenceId: number;
  readonly start: Start;
  readonly script: Script;
  readonly prompt: readonly string[];
  readonly tokens: readonly ScriptedToken[];
  readonly stream: Converse;
  readonly decoder: StringDecoder;
  /** Of tokens whose text has not been let out yet. */
  untold: TokenLogprob[];
  begun: boolean;
  echoed: number;
  sent: number;
  thought: number;
  credit: number;
  steps: number;
  heldAfterTokens: number;
  /** Text of tokens that another attempt has delivered, and not their text. */
  seam: string;
}

type Converse = ServerDuplexStream<GatewayFrame, WorkerFrame>;

/** A worker that behaves: it speaks the protocol over real gRPC, a step at a time, and remembers what it was asked. */
export class FakeWorker {
  readonly started: Start[] = [];
  readonly cancelled: number[] = [];
  /** Tokens of prompts sent back, by sequence. */
  readonly echoed = new Map<number, number>();
  /** Tokens sent, by sequence. */
  readonly sent = new Map<number, number>();
  /** Streams that gateways opened, over its whole life. */
  conversations = 0;
  /** How often it was asked to describe itself. */
  described = 0;
  state: string;
  port = 0;
  readonly work: FakeWork;
  readonly #server = new Server({
    'grpc.max_receive_message_length': 64 * 1024 * 1024,
    'grpc.max_concurrent_streams': 64, // Fewer than a real worker's, so that tests can have more calls than that.
  });
  readonly #running = new Map<number, Running>();
  readonly #streams = new Set<Converse>();
  readonly #timers: NodeJS.Timeout[] = [];
  #models: readonly Partial<ModelDescription>[];

  private constructor(private readonly options: FakeWorkerOptions) {
    this.state = options.state ?? 'ready';
    this.#models = options.models ?? [{ id: 'demo', aliases: ['gpt-4o-mini'], isDefault: true }];
    this.work = new FakeWork(options.work ?? (() => ({})), () => this.die());
  }

  static async start(options: FakeWorkerOptions = {}): Promise<FakeWorker> {
    const worker = new FakeWorker(options);
    worker.#server.addService(InferenceService, {
      converse: (stream: Converse) => worker.#converse(stream),
      describe: (_call: unknown, done: (error: null, description: WorkerDescription) => void) => {
        worker.described++;
        done(null, worker.#description());
      },
      ...worker.work.handlers,
    });
    const address = `127.0.0.1:${options.port ?? 0}`;
    worker.port = await new Promise<number>((resolve, reject) => {
      worker.#server.bindAsync(
        address,
        worker.options.credentials ?? ServerCredentials.createInsecure(),
        (error, port) => (error ? reject(error) : resolve(port)),
      );
    });
    worker.#timers.push(setInterval(() => worker.#step(), options.stepMs ?? 1));
    if (!options.mute) worker.#timers.push(setInterval(() => worker.#sendLoad(), 200));
    return worker;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Sequences it still works on. */
  get running(): number {
    return this.#running.size;
  }

  /** Lets those go on that are held by now. */
  release(): void {
    for (const running of this.#running.values()) running.heldAfterTokens = Number.POSITIVE_INFINITY;
  }

  /** Tells every gateway that nothing new is taken. */
  drain(): void {
    this.state = 'draining';
    this.#sendLoad();
  }

  /** Tells every gateway that its models are others now, or stand otherwise. */
  serve(models: readonly Partial<ModelDescription>[]): void {
    this.#models = models;
    for (const stream of this.#streams) stream.write({ frame: { $case: 'worker', value: this.#description() } });
  }

  /** Gone, as after `kill -9`: connections break, nothing is said. */
  die(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#running.clear();
    this.#server.forceShutdown();
  }

  /** Every connection, though it goes on listening. */
  hangUp(): void {
    this.#server.drain(this.address, 0);
  }

  #converse(stream: Converse): void {
    this.conversations++;
    this.#streams.add(stream);
    const leave = () => {
      this.#streams.delete(stream);
      for (const [id, { stream: own }] of this.#running) if (own === stream) this.#running.delete(id);
    };
    stream.on('data', ({ frame }: GatewayFrame) => {
      if (frame?.$case === 'hello') this.#welcome(stream, frame.value.protocolVersion);
      if (frame?.$case === 'start') this.#begin(stream, frame.value);
      if (frame?.$case === 'credit') this.#addCredit(frame.value.sequenceId, frame.value.tokens);
      if (frame?.$case === 'cancel') this.#cancel(frame.value.sequenceId);
    });
    stream.on('error', leave);
    stream.on('close', leave);
    stream.on('cancelled', leave);
    stream.on('end', () => stream.end());
  }

  #welcome(stream: Converse, theirs: number): void {
    const ours = this.options.protocolVersion ?? PROTOCOL_VERSION;
    if (theirs !== ours) {
      const details = `The gateway speaks protocol ${theirs}, this worker ${ours}. Run the same version of both.`;
      stream.emit('error', { code: status.FAILED_PRECONDITION, details });
      return;
    }
    stream.write({ frame: { $case: 'welcome', value: { protocolVersion: ours, worker: this.#description() } } });
  }

  #begin(stream: Converse, start: Start): void {
    this.started.push(start);
    const ids = [start.sequenceId, ...start.siblings.map(({ sequenceId }) => sequenceId)];
    for (const [answer, sequenceId] of ids.entries()) this.#run(stream, start, sequenceId, answer);
  }

  #run(stream: Converse, start: Start, sequenceId: number, answer: number): void {
    const script = this.options.script?.(start, answer) ?? {};
    if (script.silent) return;
    const prompt = words(start);
    const running: Running = {
      sequenceId,
      start,
      script,
      prompt,
      tokens: script.answer ?? prompt,
      stream,
      decoder: new StringDecoder(),
      untold: [],
      begun: false,
      echoed: 0,
      sent: 0,
      thought: 0,
      credit: start.creditTokens,
      steps: 0,
      heldAfterTokens: script.heldAfterTokens ?? Number.POSITIVE_INFINITY,
      seam: '',
    };
    this.#running.set(sequenceId, running);
    if (isResumed(start)) goOn(running);
  }

  #addCredit(sequenceId: number, tokens: number): void {
    const running = this.#running.get(sequenceId);
    if (running) running.credit += tokens;
  }

  #cancel(sequenceId: number): void {
    this.cancelled.push(sequenceId);
    this.#running.delete(sequenceId);
  }

  #step(): void {
    const updates = new Map<Converse, SequenceUpdate[]>();
    for (const running of this.#running.values()) {
      if (running.script.dieAfterTokens !== undefined && running.sent >= running.script.dieAfterTokens) {
        this.#flush(updates);
        // A moment later, so that what was sent is on its way.
        setTimeout(() => this.die(), 20);
        this.#running.clear();
        return;
      }
      const update = this.#advance(running);
      if (!update) continue;
      const said = running.script.tamper?.(update) ?? update;
      updates.set(running.stream, [...(updates.get(running.stream) ?? []), said]);
    }
    this.#flush(updates);
  }

  #flush(updates: ReadonlyMap<Converse, SequenceUpdate[]>): void {
    for (const [stream, list] of updates) stream.write({ frame: { $case: 'step', value: { updates: list } } });
  }

  #advance(running: Running): SequenceUpdate | undefined {
    const { start, script, tokens, sequenceId, prompt } = running;
    if (running.steps++ < (script.stepsBeforeFirst ?? 0) || running.sent >= running.heldAfterTokens) return undefined;
    const update: SequenceUpdate = {
      sequenceId,
      attempt: start.attempt,
      begun: running.begun ? undefined : { promptTokens: prompt.length, cachedTokens: 1, waitedMs: 0 },
      tokenIds: [],
      text: '',
      settled: undefined,
      logprobs: [],
      echo: undefined,
      reasoning: '',
      calls: [],
      citations: [],
      unnumberedTokens: 0,
    };
    const settle = (reason: string, failure?: Failure): SequenceUpdate => {
      this.#running.delete(sequenceId);
      const { sent, thought } = running;
      const counts = {
        promptTokens: prompt.length,
        completionTokens: sent + 1,
        cachedTokens: 1,
        reasoningTokens: thought,
      };
      const stopText = reason === 'stop' ? (script.stopText ?? '') : '';
      return { ...update, logprobs: running.untold, settled: { reason, ...counts, failure, stopText } };
    };
    if (script.failure && running.sent >= (script.failure.afterTokens ?? 0)) {
      const { afterTokens: _, ...failure } = script.failure;
      const whole = {
        code: 'internal_error',
        message: 'scripted',
        param: '',
        retryAfterSeconds: 0,
        limit: '',
        ...failure,
      };
      return { ...settle('failed', whole), begun: undefined };
    }
    if (start.echo && running.echoed < prompt.length) return this.#echo(running, update);
    if (running.sent >= (start.maxTokens ?? Number.POSITIVE_INFINITY)) return settle('length');
    if (running.sent >= tokens.length && script.endless === undefined) return settle(script.reason ?? 'stop');
    if (running.credit <= 0) return undefined;
    return this.#send(running, update);
  }

  /** A word of the prompt; with log-probabilities it costs a token of credit. */
  #echo(running: Running, update: SequenceUpdate): SequenceUpdate | undefined {
    const { start, sequenceId, prompt, echoed } = running;
    if (start.logprobs !== undefined && running.credit-- === 0) {
      running.credit = 0;
      return undefined;
    }
    running.begun = true;
    running.echoed++;
    this.echoed.set(sequenceId, running.echoed);
    const word = prompt[echoed]!;
    const logprob = echoed === 0 ? Number.NaN : ECHO_LOGPROB;
    const logprobs = start.logprobs === undefined ? [] : [fakeLogprob(word, logprob, start.logprobs)];
    return { ...update, echo: { text: word, logprobs } };
  }

  #send(running: Running, update: SequenceUpdate): SequenceUpdate | undefined {
    const { start, script, sequenceId, tokens } = running;
    const token = tokens[running.sent] ?? script.endless ?? '';
    if (typeof token === 'object' && !(token instanceof Uint8Array)) return this.#sendPiece(running, update, token);
    const text = running.seam + running.decoder.write(Buffer.from(token));
    running.seam = '';
    running.begun = true;
    running.credit--;
    running.sent++;
    this.sent.set(sequenceId, running.sent);
    if (start.logprobs !== undefined) running.untold.push(fakeLogprob(token, script.logprob ?? -0.5, start.logprobs));
    const logprobs = text === '' ? [] : running.untold;
    if (text !== '') running.untold = [];
    return { ...update, tokenIds: [running.sent], text, logprobs };
  }

  #sendPiece(running: Running, update: SequenceUpdate, piece: ScriptedPiece): SequenceUpdate | undefined {
    const { unnumberedTokens = 0, reasoning = '' } = piece;
    if (running.credit < unnumberedTokens) return undefined; // It comes whole, or not yet.
    running.begun = true;
    running.credit -= Math.max(1, unnumberedTokens);
    running.sent++;
    if (reasoning !== '') running.thought++;
    this.sent.set(running.sequenceId, running.sent);
    return { ...update, ...piece, tokenIds: unnumberedTokens > 0 ? [] : [running.sent] };
  }

  #sendLoad(): void {
    const value = { running: this.#running.size, waiting: 0, draining: this.state === 'draining' };
    for (const stream of this.#streams) stream.write({ frame: { $case: 'load', value } });
  }

  #description(): WorkerDescription {
    return {
      workerId: `fake@${this.port}`,
      protocolVersion: PROTOCOL_VERSION,
      version: '0.0.1-fake',
      state: this.state,
      detail: this.state === 'loading' ? 'reading demo.gguf' : '',
      // One that loads may know its models already, or not yet.
      models: this.state === 'loading' && this.options.models === undefined ? [] : this.#models.map(fullModel),
      sequencesMax: 32,
      waitingMax: 64,
      load: { running: this.#running.size, waiting: 0, draining: this.state === 'draining' },
    };
  }
}

function isResumed({ resumeTokenIds, resumeText, resumeUnnumberedTokens }: Start): boolean {
  return resumeTokenIds.length + resumeUnnumberedTokens + resumeText.length > 0;
}

/** Where the earlier attempt stood: what it said is gone through again, and nothing of it is said twice. */
function goOn(running: Running): void {
  const { start, script, tokens, decoder, prompt } = running;
  const { resumeTokenIds, resumeUnnumberedTokens, resumeText, resumeLogprobs, logprobs } = start;
  running.echoed = prompt.length;
  running.sent = resumeTokenIds.length + resumeUnnumberedTokens;
  let text = '';
  for (let at = 0; at < running.sent; at++) {
    const token = tokens[at] ?? script.endless ?? '';
    const spelled = typeof token === 'string' || token instanceof Uint8Array;
    text += spelled ? decoder.write(Buffer.from(token)) : (token.text ?? '');
    if (spelled && logprobs !== undefined && at >= resumeLogprobs) {
      running.untold.push(fakeLogprob(token, script.logprob ?? -0.5, logprobs));
    }
  }
  running.seam = text.slice(resumeText.length);
}

function words(start: Start): string[] {
  if (start.prompt?.$case === 'tokens') return start.prompt.value.ids.map((id) => `<${id}>`);
  const text = start.prompt?.$case === 'text' ? start.prompt.value : lastMessage(start);
  return text.split(/(?<= )/);
}

const ECHO_LOGPROB = -1;

/** The token itself is the likeliest; behind it come as many others as were asked for, each half as likely as the last. */
function fakeLogprob(token: string | Uint8Array, logprob: number, top: number): TokenLogprob {
  const chance = (text: string | Uint8Array, value: number): TokenLogprob => ({
    token: 7,
    spelling: Buffer.from(text),
    logprob: value,
    top: [],
  });
  const others = Array.from({ length: 20 }, (_, index) => chance(`other${index}`, -1 - index * Math.LN2));
  return { ...chance(token, logprob), top: [chance(token, logprob), ...others].slice(0, top) };
}

function lastMessage(start: Start): string {
  if (start.prompt?.$case !== 'chat') return '';
  const messages = JSON.parse(start.prompt.value.messagesJson) as { content: string }[];
  return messages.at(-1)?.content ?? '';
}

function fullModel(model: Partial<ModelDescription>): ModelDescription {
  return {
    id: 'demo',
    aliases: [],
    contextLength: 8192,
    capabilities: ['chat', 'completion'],
    engine: 'fake 1',
    created: 1_700_000_000,
    samplingDefaults: undefined,
    maxTokensDefault: 0,
    isDefault: false,
    embeddingLength: 0,
    state: 'loaded',
    detail: '',
    ...model,
  };
}
