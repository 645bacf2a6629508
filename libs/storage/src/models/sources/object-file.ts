import type { ObjectStore } from '../../object-store.js';
import { ModelProblem } from '../model-problem.js';
import { type OpenRemote, RangeGone, type RemoteFile, type Resume } from './remote-file.js';

/** A file of an object store. */
export class ObjectFile implements RemoteFile {
  constructor(
    private readonly store: ObjectStore,
    private readonly key: string,
    readonly name = key,
  ) {}

  async open(resume: Resume | undefined, signal: AbortSignal): Promise<OpenRemote> {
    const from = resume?.from ?? 0;
    const opened = await this.store.open(this.key, signal, { from });
    if (opened === undefined) throw new ModelProblem('not_found', `${this.name} is not in the object store.`);
    if (resume !== undefined && opened.version !== resume.version) {
      await opened[Symbol.asyncDispose]();
      throw new RangeGone(`${this.name} is another file by now.`);
    }
    const { bytes, version, content } = opened;
    return {
      from,
      bytes,
      version,
      sha256: undefined,
      content,
      [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
    };
  }
}
