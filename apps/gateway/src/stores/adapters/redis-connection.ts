import type { Socket } from 'node:net';
import type { ConnectionOptions } from 'node:tls';
import {
  ConfigurationError,
  clientTls,
  forgettingPolicy,
  type Logger,
  tlsFailure,
  type WatchedTls,
} from '@millrace/runtime';
import { Redis, type RedisOptions } from 'ioredis';

export interface RedisConnectionOptions {
  /** `redis://user:password@host:port/database`, or `rediss://`. Never logged. */
  readonly url: string;
  /** How long a command may take; then whoever sent it goes on without Redis. */
  readonly timeoutMs: number;
  /** How Redis' list of clients names this one. */
  readonly name?: string;
  /** For `rediss://`: by what Redis is known, and what it is shown. Absent: those that Node trusts, and nothing. */
  readonly tls?: WatchedTls | undefined;
}

const VERSION_MIN = 7;
const CONNECT_TIMEOUT_MS = 5_000;
/** Between two attempts to connect; they never end. */
const RECONNECT_MS_MIN = 100;
const RECONNECT_MS_MAX = 2_000;
/** So that gateways that lost their Redis together do not come back together. */
const RECONNECT_JITTER_MS = 100;
/** Between two connections to what turns out to be a replica. */
const LEAVE_EVERY_MS = 1_000;
/** A connection on which commands wait and nothing comes for so many times their time-out is dead, whatever TCP says. */
const SILENCE_FACTOR = 8;
const SILENCE_MS_MIN = 2_000;
/** Commands that wait for their answers. The next is refused at once. */
const COMMANDS_MAX = 10_000;

/**
 * A connection to Redis that several stages share. Whoever sends a command gets an answer or an error, within the time-out; nothing is
 * kept for later and nothing is sent twice, since whoever asked has gone on by then. It connects again by itself, for ever.
 */
export class RedisConnection {
  readonly client: Redis;
  readonly #options: RedisConnectionOptions;
  readonly #logger: Logger;
  readonly #duplicates = new Set<Redis>();
  /** Without user and password. */
  readonly #address: string;
  /** Since it was last there. */
  #lastError = '';
  #told = false;

  /** @throws ConfigurationError where the URL is none of Redis'. */
  constructor(options: RedisConnectionOptions, logger: Logger) {
    this.#options = options;
    this.#logger = logger;
    this.#address = addressOf(options.url);
    this.client = this.#open(options.timeoutMs, {});
    this.client.on('ready', () => void this.#greet());
    this.client.on('error', (error: Error) => this.#complain(error.message));
    // What broke it, if anything said so, tells more.
    this.client.on('close', () => this.#complain(this.#lastError || 'the connection was closed'));
  }

  /** Why no command can be answered just now, as a sentence; undefined: nothing is known to be wrong. */
  get trouble(): string | undefined {
    if (this.client.status === 'ready') return undefined;
    return `Redis at ${this.#address} can't be reached (${this.#lastError || 'not connected yet'}).`;
  }

  /** Resolves when the first connection is there, or when it has failed for so long: a gateway starts without Redis, too. */
  async ready(waitMs: number): Promise<void> {
    if (this.client.status === 'ready') return;
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.client.off('ready', done);
        resolve();
      };
      const timer = setTimeout(done, waitMs);
      this.client.once('ready', done);
    });
  }

  /** A connection of its own, for subscriptions and commands that block: those take a connection for themselves. Closed with this one. */
  duplicate(options: Options = {}): Redis {
    const client = this.#open(undefined, {
      socketTimeout: undefined,
      // A subscription is wanted whenever Redis comes back, and nobody's request waits for it.
      enableOfflineQueue: true,
      maxRetriesPerRequest: null,
      ...options,
    });
    // An error without a listener ends the process; that Redis is away has been said by the first connection.
    client.on('error', () => {});
    this.#duplicates.add(client);
    client.once('end', () => this.#duplicates.delete(client));
    return client;
  }

  /** Commands that are on their way get no answer. */
  async close(): Promise<void> {
    for (const client of [this.client, ...this.#duplicates]) client.disconnect();
  }

  /** @param commandTimeoutMs undefined: commands may take as long as they want. */
  #open(commandTimeoutMs: number | undefined, options: Options): Redis {
    const { url, timeoutMs, name = 'millrace-gateway', tls } = this.#options;
    return new BoundedRedis(url, commandTimeoutMs, {
      ...(isSecured(url) && { tls: clientTls(tls, url) as ConnectionOptions }),
      socketTimeout: Math.max(SILENCE_MS_MIN, SILENCE_FACTOR * timeoutMs),
      connectTimeout: CONNECT_TIMEOUT_MS,
      connectionName: name,
      retryStrategy: reconnectInMs,
      reconnectOnError: leaveReplicas(),
      // A command that waited until Redis is back, or is sent again then, would count what nobody waits for any more.
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      ...options,
    });
  }

  async #greet(): Promise<void> {
    if (this.#told) this.#logger.info(`Redis at ${this.#address} is back.`);
    this.#told = false;
    this.#lastError = '';
    try {
      const info = await this.client.info();
      for (const doubt of doubtsAbout(info)) this.#logger.warn(`Redis at ${this.#address} ${doubt}`);
    } catch {
      // It went again, which has been said, or it tells this user nothing of itself: not worth a word.
    }
  }

  /** Once while it is away: an attempt follows the other for as long. Only the message: errors carry commands, and so passwords. */
  #complain(message: string): void {
    if (this.client.status === 'end') return;
    const why = isSecured(this.#options.url) ? tlsFailure(message, 'redisTls') : undefined;
    this.#lastError = why ?? (message.replace(/\.$/, '') || 'it refuses connections');
    if (this.#told) return;
    this.#told = true;
    this.#logger.warn(`Redis at ${this.#address} can't be reached: ${this.#lastError}. It is tried again.`);
  }
}

/** Refuses what is too much, instead of keeping it until Redis answers, and waits for nothing longer than the time-out. */
class BoundedRedis extends Redis {
  /** The connection whose writes are held until this turn ends. */
  #gathering: Socket | undefined;

  constructor(
    url: string,
    private readonly commandTimeoutMs: number | undefined,
    options: Options,
  ) {
    // It connects at the first command or at `connect`: before that, this class is not complete.
    super(url, { ...options, lazyConnect: true });
    this.connect().catch(() => {});
  }

  override sendCommand(command: Command, stream?: Stream): unknown {
    failPlainly(command);
    // Those that were given up count until Redis answers them or the connection is closed.
    if (this.commandQueue.length >= COMMANDS_MAX) {
      command.reject(new Error(`${COMMANDS_MAX} commands wait for an answer already`));
      return command.promise;
    }
    if (this.commandTimeoutMs !== undefined) expire(command, this.commandTimeoutMs);
    this.#gather();
    return super.sendCommand(command, stream);
  }

  /** What one turn of the event loop sends goes out in one write: with a write for each, that is most of what a command costs. */
  #gather(): void {
    const { stream } = this as unknown as { readonly stream?: Socket };
    if (stream === undefined || stream === this.#gathering) return;
    this.#gathering = stream;
    stream.cork();
    setImmediate(() => {
      this.#gathering = undefined;
      stream.uncork();
    });
  }
}

type Command = Parameters<Redis['sendCommand']>[0];
type Stream = Parameters<Redis['sendCommand']>[1];
type Options = Omit<RedisOptions, 'replyMapping'>;

/** Operators read why limits are counted without Redis; that an option of ioredis is 0 tells them nothing. */
function failPlainly(command: Command): void {
  const { reject } = command;
  command.reject = (error) => reject(plainly(error));
}

function plainly(error: Error): Error {
  if (error.message.startsWith("Stream isn't writeable")) return new Error('there is no connection', { cause: error });
  if (error.name === 'MaxRetriesPerRequestError') return new Error('the connection was lost', { cause: error });
  return error;
}

/**
 * Ends a command that is late. Not ioredis' own time-out: when this process was busy for longer than that, the answer may lie in the
 * socket, and then it is read first, rather than that Redis is taken for dead.
 */
function expire(command: Command, timeoutMs: number): void {
  const timer = setTimeout(() => {
    setImmediate(() => {
      if (!command.isSettled) command.reject(new Error(`no answer within ${timeoutMs} ms`));
    });
  }, timeoutMs);
  const answered = () => clearTimeout(timer);
  command.promise.then(answered, answered);
}

/**
 * Connects anew where Redis has become a replica: behind the same name another is the primary now. Once for all commands that fail together,
 * since each time costs a connection.
 */
function leaveReplicas(): (error: Error) => boolean {
  let leftAtMs = Number.NEGATIVE_INFINITY;
  return ({ message }) => {
    const nowMs = performance.now();
    if (!message.startsWith('READONLY') || nowMs - leftAtMs < LEAVE_EVERY_MS) return false;
    leftAtMs = nowMs;
    return true;
  };
}

function reconnectInMs(attempt: number): number {
  const backOffMs = Math.min(RECONNECT_MS_MAX, RECONNECT_MS_MIN * 2 ** Math.min(attempt - 1, 10));
  return backOffMs + Math.random() * RECONNECT_JITTER_MS;
}

function addressOf(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || !['redis:', 'rediss:'].includes(parsed.protocol) || parsed.hostname === '') {
    throw new ConfigurationError([
      '`redisUrl` is not an address of Redis. Write it as redis://user:password@host:6379/0, or rediss:// for TLS, with special characters of the password percent-encoded.',
    ]);
  }
  return `${parsed.protocol}//${parsed.host}${parsed.pathname === '/' ? '' : parsed.pathname}`;
}

function isSecured(url: string): boolean {
  return /^rediss:/i.test(url);
}

/** What of a Redis that works may surprise its operator one day. */
function doubtsAbout(info: string): readonly string[] {
  const version = /^redis_version:(\S+)/m.exec(info)?.[1] ?? '';
  const policy = forgettingPolicy(info);
  const doubts: string[] = [];
  if (!(Number.parseInt(version, 10) >= VERSION_MIN))
    doubts.push(`is version ${version}; Millrace is made for ${VERSION_MIN} and newer. Update it.`);
  if (policy !== undefined)
    doubts.push(
      `forgets keys when it is full (maxmemory-policy ${policy}), and limits with them. Give it noeviction, or limits one of their own.`,
    );
  return doubts;
}
