import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { documentKindOf, extensionOf } from './document-kind.js';
import {
  type DocumentJob,
  type DocumentOutcome,
  DocumentRefused,
  keepableText,
  OUT_OF_MEMORY_MARK,
  outcomeOf,
} from './document-wire.js';
import { tooMuchText } from './text-sink.js';

export interface DocumentLimits {
  /** Of one document, from its first byte on. */
  readonly documentTimeoutMs: number;
  /** Of the process that reads it, in MiB. */
  readonly documentMemoryMib: number;
  /** Of a document's text, in UTF-8. */
  readonly vectorTextBytesMax: number;
}

/** How much of the memory is JavaScript's heap; the rest is for what lies beside it, the document itself among it. */
const HEAP_SHARE = 0.6;
/** Of what the process writes while it dies. */
const LAST_WORDS_CHARACTERS_MAX = 2_000;
const MIB = 1024 * 1024;
/** Node doesn't run our sources as they stand: tests of the sources start the process as it was built. */
const ENTRY = new URL(import.meta.url.replace('/src/', '/dist/').replace(/[^/]+$/, 'document-process-main.js'));

/**
 * Text of documents that anybody may have made, each read in a process of its own that lives no longer: a file that takes all memory, never
 * ends or finds a hole in a library costs itself, and sees nothing of the next one. It has no environment, no network, may start nothing,
 * write nothing, and read only the libraries.
 */
export class DocumentReader {
  /** @param entry of the process. */
  constructor(
    private readonly limits: DocumentLimits,
    private readonly entry = ENTRY,
  ) {}

  /**
   * @throws DocumentRefused where it can't be read, whoever tries again; Error where the process could not be started or was ended by somebody
   *   else; what `content` throws; the reason of `signal`.
   */
  async read(filename: string, content: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<string> {
    signal.throwIfAborted();
    const kind = documentKindOf(filename);
    if (kind === undefined) throw unsupported(filename);
    const { documentMemoryMib, vectorTextBytesMax: textBytesMax } = this.limits;
    await using reading = new Reading(this.#start({ kind, textBytesMax, memoryBytesMax: documentMemoryMib * MIB }));
    return await reading.text(content, this.limits, signal);
  }

  #start(job: DocumentJob): ChildProcess {
    const heapMib = Math.max(16, Math.floor(this.limits.documentMemoryMib * HEAP_SHARE));
    return spawn(
      process.execPath,
      [
        `--max-old-space-size=${heapMib}`,
        '--disallow-code-generation-from-strings',
        '--permission',
        '--allow-worker', // For the watch, which must go on while a document holds the main thread.
        '--no-warnings',
        ...readablePaths(fileURLToPath(this.entry)).map((path) => `--allow-fs-read=${path}`),
        fileURLToPath(this.entry),
        JSON.stringify(job),
      ],
      // Nothing of the environment: it needs no keys.
      { env: {}, stdio: ['pipe', 'pipe', 'pipe', 'ipc'] },
    );
  }
}

/** Its own folder, and libraries wherever the folders above have them. */
function readablePaths(entry: string): string[] {
  const paths = [join(dirname(entry), '*')];
  for (let folder = dirname(entry); ; folder = dirname(folder)) {
    paths.push(join(folder, 'package.json'), join(folder, 'node_modules', '*'));
    if (dirname(folder) === folder) return paths;
  }
}

/** One process, and what comes of it. Whoever disposes of it ends it, whatever it does. */
class Reading implements AsyncDisposable {
  readonly #closed: Promise<unknown>;
  #outcome: DocumentOutcome | undefined;
  #lastWords = '';

  constructor(private readonly child: ChildProcess) {
    // "close" and not "exit": by then everything that it wrote is here.
    this.#closed = once(child, 'close').catch(() => undefined);
    child.on('message', (message) => {
      this.#outcome = outcomeOf(message);
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#lastWords = (this.#lastWords + text).slice(-LAST_WORDS_CHARACTERS_MAX);
    });
  }

  async text(content: AsyncIterable<Uint8Array>, limits: DocumentLimits, signal: AbortSignal): Promise<string> {
    const late = AbortSignal.timeout(limits.documentTimeoutMs);
    const end = () => this.child.kill('SIGKILL');
    const either = AbortSignal.any([signal, late]);
    either.addEventListener('abort', end, { once: true });
    try {
      const [text] = await Promise.all([this.#collect(limits.vectorTextBytesMax), this.#give(content), this.#closed]);
      signal.throwIfAborted();
      if (late.aborted) throw tooSlow(limits);
      return this.#checked(text, limits);
    } finally {
      either.removeEventListener('abort', end);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill('SIGKILL');
    if (this.child.pid !== undefined) await this.#closed;
  }

  /** A process that takes no more is told by its end; only what `content` itself throws is thrown here. */
  async #give(content: AsyncIterable<Uint8Array>): Promise<void> {
    const stdin = this.child.stdin!;
    stdin.on('error', () => undefined);
    const gone = this.#closed.then(() => undefined);
    const pieces = content[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await Promise.race([pieces.next(), gone]);
        if (next === undefined || next.done === true) break;
        if (!stdin.write(next.value)) await Promise.race([once(stdin, 'drain').catch(() => undefined), gone]);
      }
      stdin.end();
    } catch (error) {
      this.child.kill('SIGKILL');
      throw error;
    } finally {
      // Not awaited: what is being waited for may never come.
      void pieces.return?.()?.catch(() => undefined);
    }
  }

  async #collect(bytesMax: number): Promise<string> {
    const pieces: Buffer[] = [];
    let bytes = 0;
    for await (const piece of this.child.stdout as AsyncIterable<Buffer>) {
      bytes += piece.length;
      if (bytes > bytesMax) {
        this.child.kill('SIGKILL');
        throw tooMuchText(bytesMax);
      }
      pieces.push(piece);
    }
    // As a sink sends it; a process that a document took over may send anything.
    return keepableText(Buffer.concat(pieces).toString());
  }

  #checked(text: string, limits: DocumentLimits): string {
    if (this.#outcome?.kind === 'done') return text;
    if (this.#outcome !== undefined) throw new DocumentRefused(this.#outcome.code, this.#outcome.message);
    if (this.#lastWords.includes(OUT_OF_MEMORY_MARK) || HEAP_IS_FULL.test(this.#lastWords)) throw tooMuchMemory(limits);
    const { exitCode, signalCode } = this.child;
    const how = signalCode ?? `code ${exitCode}`;
    throw new Error(`The process that reads documents ended with ${how}.`, { cause: this.#lastWords });
  }
}

/** What V8 says before it ends a process. */
const HEAP_IS_FULL = /heap out of memory|Ineffective mark-compacts|Allocation failed|invalid array length/i;

function unsupported(filename: string): DocumentRefused {
  return new DocumentRefused(
    'unsupported_file',
    `Files that end in .${extensionOf(filename)} can not be read. What can: text, Markdown, JSON, CSV, HTML, PDF and DOCX.`,
  );
}

function tooSlow({ documentTimeoutMs }: DocumentLimits): DocumentRefused {
  return new DocumentRefused(
    'invalid_file',
    `To read the file takes longer than ${documentTimeoutMs.toLocaleString('en-US')} ms (documentTimeoutMs). Split it, or save it in a simpler form.`,
  );
}

function tooMuchMemory({ documentMemoryMib }: DocumentLimits): DocumentRefused {
  return new DocumentRefused(
    'invalid_file',
    `To read the file takes more memory than ${documentMemoryMib.toLocaleString('en-US')} MiB (documentMemoryMib). Split it, or save it in a simpler form.`,
  );
}
