import { status } from '@grpc/grpc-js';
import { type InferenceError, PROTOCOL_VERSION } from '@millrace/contracts';
import type { GatewayFrame, Hello, Load, Start, WorkerDescription } from '@millrace/contracts/protocol';
import type { Logger } from '@millrace/runtime';
import type { ModelUser } from './answers-to.js';
import { ServedAnswers, StartedTwice } from './served-answers.js';
import { type ConverseStream, StepWriter } from './step-writer.js';

/** What a conversation asks of the worker. */
export interface ConversationHost extends ModelUser {
  describe(): WorkerDescription;
  /** What everyone was told last of the worker, if anything; a newcomer knows more by its Welcome. */
  readonly told: WorkerDescription | undefined;
  /** A sequence was settled. */
  onSettled(): void;
  /** Called once. */
  onEnded(conversation: Conversation): void;
}

/**
 * What one gateway and this worker say to each other, from Hello to the end of the stream.
 *
 * Ownership: owns the sequences that were started on the stream; when it breaks, for whatever reason, all of them are
 * cancelled. A gateway that breaks the protocol ends its own stream, with a sentence, and harms nobody else.
 */
export class Conversation {
  readonly #answers: ServedAnswers;
  readonly #writer: StepWriter;
  #gateway: string | undefined;
  /** What the gateway was told of the worker last. */
  #told: WorkerDescription | undefined;
  #ended = false;

  constructor(
    private readonly stream: ConverseStream,
    private readonly host: ConversationHost,
    stallTimeoutMs: number,
    private readonly logger: Logger,
  ) {
    this.#writer = new StepWriter(stream);
    const options = { stallTimeoutMs, gateway: () => this.#gateway, onSettled: () => host.onSettled() };
    this.#answers = new ServedAnswers(this.#writer, host, options, logger);
    stream.on('data', (frame: GatewayFrame) => this.#onFrame(frame));
    // The gateway closed its side; nothing can be paid for with credit any more, so nothing is left to say.
    stream.on('end', () => this.end());
    for (const event of ['cancelled', 'close', 'error']) stream.on(event, () => this.#onLost());
  }

  get sequences(): number {
    return this.#answers.size;
  }

  /** Left out while the connection takes no more: a load that waits in a buffer is an old one. */
  sendLoad(load: Load): void {
    if (this.#gateway === undefined || this.#ended || this.#writer.blocked) return;
    this.#writer.write({ frame: { $case: 'load', value: load } });
  }

  /** Left out while the connection takes no more: who calls again with the same object or a newer one will be heard. */
  sendWorker(worker: WorkerDescription): void {
    if (this.#gateway === undefined || this.#ended || this.#writer.blocked || this.#told === worker) return;
    this.#told = worker;
    this.#writer.write({ frame: { $case: 'worker', value: worker } });
  }

  /** Gives up every sequence, each with its own Settled. */
  giveUp(error: InferenceError): void {
    this.#answers.giveUp(error);
  }

  /** As `ServedAnswers.giveUpWaiting`. */
  giveUpWaiting(error: InferenceError): void {
    this.#answers.giveUpWaiting(error);
  }

  /** Ends the stream, after what is still to be sent. */
  end(): void {
    if (this.#ended) return;
    this.#writer.flush();
    this.#onLost();
    this.stream.end();
  }

  #onFrame(frame: GatewayFrame): void {
    if (this.#ended) return;
    try {
      this.#obey(frame);
    } catch (error) {
      this.#breakOff(error);
    }
  }

  #obey({ frame }: GatewayFrame): void {
    if (this.#gateway === undefined && frame?.$case !== 'hello') {
      throw new ProtocolMisuse(status.FAILED_PRECONDITION, 'The first frame must be Hello.');
    }
    switch (frame?.$case) {
      case 'hello':
        this.#welcome(frame.value);
        break;
      case 'start':
        this.#begin(frame.value);
        break;
      case 'cancel':
        this.#answers.cancel(frame.value.sequenceId);
        break;
      case 'credit':
        this.#answers.addCredit(frame.value.sequenceId, frame.value.tokens);
        break;
      default:
        throw new ProtocolMisuse(status.INVALID_ARGUMENT, 'A frame is empty, or of a kind this worker does not know.');
    }
  }

  #welcome({ protocolVersion, gatewayId }: Hello): void {
    if (this.#gateway !== undefined) throw new ProtocolMisuse(status.INVALID_ARGUMENT, 'Hello came twice.');
    if (protocolVersion !== PROTOCOL_VERSION) {
      throw new ProtocolMisuse(
        status.FAILED_PRECONDITION,
        `The gateway speaks version ${protocolVersion} of the protocol, this worker version ${PROTOCOL_VERSION}. Install the same release on both.`,
      );
    }
    this.#gateway = gatewayId;
    this.logger.info({ gateway: gatewayId }, 'A gateway has connected.');
    const worker = this.host.describe();
    this.#told = this.host.told;
    this.#writer.write({ frame: { $case: 'welcome', value: { protocolVersion: PROTOCOL_VERSION, worker } } });
  }

  #begin(start: Start): void {
    try {
      this.#answers.begin(start);
    } catch (error) {
      // An update could be meant for either of the two, so no answer on this stream can be trusted any more.
      if (error instanceof StartedTwice) throw new ProtocolMisuse(status.INVALID_ARGUMENT, error.message);
      throw error;
    }
  }

  #breakOff(error: unknown): void {
    const code = error instanceof ProtocolMisuse ? error.code : status.INTERNAL;
    const details = error instanceof ProtocolMisuse ? error.message : 'The worker failed on a frame.';
    this.logger.warn({ gateway: this.#gateway, error }, 'The stream of a gateway is ended.');
    this.#onLost();
    // The library turns this event into the stream's status; it is not thrown.
    this.stream.emit('error', Object.assign(new Error(details), { code, details }));
  }

  #onLost(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#writer.close();
    this.#answers.cancelAll();
    if (this.#gateway !== undefined) this.logger.info({ gateway: this.#gateway }, 'A gateway has left.');
    this.host.onEnded(this);
  }
}

/** The gateway did what the protocol does not allow; the stream ends with this. */
class ProtocolMisuse extends Error {
  constructor(
    readonly code: status,
    sentence: string,
  ) {
    super(sentence);
  }
}
