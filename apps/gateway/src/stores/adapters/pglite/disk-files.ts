import { closeSync, fsyncSync, openSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { NodeFS } from '@electric-sql/pglite/nodefs';

/** Of WebAssembly. */
const PAGES_PER_MIB = 16;
/** What PGlite was built with; it takes no less. */
const INITIAL_MIB = 128;

export interface DiskFilesOptions {
  /** The most memory that the database may take, in MiB, 128 or more. */
  readonly memoryMibMax: number;
  /** The engine is beyond use, and would go round in circles from here: this has to end the process. */
  readonly failed: (why: unknown) => never;
  /** Nothing is written through until `syncAll`: what is being unpacked can be unpacked again, and once is enough then. */
  readonly isNew?: boolean;
  /** For tests; unsaid, the system's. */
  readonly sync?: (descriptor: number) => void;
}

/** Of Emscripten's view of the disk, what is changed here. */
interface DiskView {
  readonly stream_ops?: { fsync?: (stream: DiskStream) => number };
  realPath(node: unknown): string;
}
interface DiskStream {
  /** The system's own descriptor; folders have none. */
  readonly nfd?: number;
  readonly node: unknown;
}
type Init = NodeFS['init'];

/** Node has it; the types that this project is checked with are those of the browser. */
const { WebAssembly: wasm } = globalThis as unknown as {
  readonly WebAssembly: { readonly Memory: new (size: { initial: number; maximum: number }) => WasmMemory };
};
type WasmMemory = Parameters<Init>[1]['wasmMemory'] & object;

/**
 * The folder of the database, with a disk that really is written to when Postgres asks for it, and a bound on its memory.
 *
 * As PGlite comes, its `fsync` does nothing: a process may be killed then without loss, but after a power cut the files may be
 * of different moments, and the database beyond help. Here a commit is on the disk before it is answered (measured on a
 * virtual disk: 1,500 commits a second instead of 2,800).
 */
export class DiskFiles extends NodeFS {
  readonly #folder: string;
  readonly #options: DiskFilesOptions;
  #writesThrough: boolean;

  constructor(folder: string, options: DiskFilesOptions) {
    super(folder);
    this.#folder = folder;
    this.#options = options;
    this.#writesThrough = options.isNew !== true;
  }

  /** Writes everything to the disk: some thousand small files, in a tenth of a second. From then on each by itself. */
  syncAll(): void {
    const { sync = fsyncSync } = this.#options;
    for (const path of readdirSync(this.#folder, { recursive: true, encoding: 'utf8' })) {
      syncPath(join(this.#folder, path), sync);
    }
    syncPath(this.#folder, sync);
    this.#writesThrough = true;
  }

  override async init(pg: Parameters<Init>[0], given: Parameters<Init>[1]): ReturnType<Init> {
    const { emscriptenOpts } = await super.init(pg, given);
    const wasmMemory = new wasm.Memory({
      initial: INITIAL_MIB * PAGES_PER_MIB,
      maximum: this.#options.memoryMibMax * PAGES_PER_MIB,
    });
    type Module = Parameters<NonNullable<typeof emscriptenOpts.preRun>[number]>[0];
    const wire = (module: Module) => this.#writeThrough(module.FS as unknown as { filesystems: { NODEFS?: DiskView } });
    const preRun = [...(emscriptenOpts.preRun ?? []), wire];
    return { emscriptenOpts: { ...emscriptenOpts, wasmMemory, preRun, onAbort: this.#options.failed } };
  }

  #writeThrough({ filesystems: { NODEFS: view } }: { readonly filesystems: { readonly NODEFS?: DiskView } }): void {
    if (view?.stream_ops === undefined)
      throw new Error('PGlite shows its files in a way that this version does not know.');
    const { sync = fsyncSync, failed } = this.#options;
    view.stream_ops.fsync = ({ nfd, node }) => {
      try {
        if (!this.#writesThrough) return 0;
        if (nfd === undefined) syncPath(view.realPath(node), sync);
        else sync(nfd);
        return 0;
      } catch (error) {
        // Postgres would stop as well: what the system failed to write once it may have forgotten.
        return failed(error);
      }
    };
  }
}

function syncPath(path: string, sync: (descriptor: number) => void): void {
  const descriptor = openSync(path, 'r');
  try {
    sync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
