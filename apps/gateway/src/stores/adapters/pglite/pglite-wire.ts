/** What the gateway gives the process of the embedded database to start with. */
export interface PgliteStart {
  /** Where its files are. */
  readonly folder: string;
  /** The socket that it listens on. */
  readonly socketPath: string;
  /** How long it waits for another process to let go of the folder. */
  readonly lockWaitMs: number;
  /** Of the database itself, in MiB; JavaScript's is beside it. */
  readonly memoryMibMax: number;
}

export type PgliteOrder =
  /** Answer with `alive`: whether its event loop turns. */
  { readonly kind: 'ping' } | { readonly kind: 'end' };

export type PgliteNews =
  | { readonly kind: 'ready' }
  | { readonly kind: 'alive' }
  /** It ends; why, for the person who can mend it. */
  | { readonly kind: 'failed'; readonly sentence: string };
