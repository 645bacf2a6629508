/** What can go wrong with models, for programs. */
export type ModelProblemKind =
  | 'invalid' // what was asked for makes no sense
  | 'not_found'
  | 'exists'
  | 'busy' // somebody else is at it
  | 'source' // it can't be had from there
  | 'changed' // its content is not what its digest says
  | 'full' // no room on the disk
  | 'registry' // the registry can't be read, or was broken by hand
  | 'unavailable'; // the bucket is away

/** A failure about models that was foreseen: a sentence for the person who can mend it. */
export class ModelProblem extends Error {
  override readonly name = 'ModelProblem';

  constructor(
    readonly kind: ModelProblemKind,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** What a file system said, as one word. */
export function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? String(error);
}
