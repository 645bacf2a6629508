/** A file somewhere else, which may break off at any moment and be gone on with. */
export interface RemoteFile {
  /** For sentences; without secrets. */
  readonly name: string;
  /**
   * From `resume.from` on, if it is still the same; else from its beginning, which `from` of what comes back says.
   *
   * @throws RemoteBroken where it may go well another time; ModelProblem where it won't.
   */
  open(resume: Resume | undefined, signal: AbortSignal): Promise<OpenRemote>;
}

export interface Resume {
  readonly from: number;
  /** As `OpenRemote` had it. */
  readonly version: string;
}

/** Ownership: whoever gets it disposes of it, whether its content was read or not. */
export interface OpenRemote extends AsyncDisposable {
  readonly from: number;
  /** Of all of it; undefined: it does not say. */
  readonly bytes: number | undefined;
  /** Another where the content is another; undefined: it can't be told, and so can't be gone on with. */
  readonly version: string | undefined;
  /** Where its keeper says so. */
  readonly sha256: string | undefined;
  /** Throws `RemoteBroken` where it ends too early. */
  readonly content: AsyncIterable<Uint8Array>;
}

/** It broke off, or could not be had just now. */
export class RemoteBroken extends Error {
  override readonly name = 'RemoteBroken';
}

/** There is nothing behind what is here: it has to be begun anew. */
export class RangeGone extends RemoteBroken {}
