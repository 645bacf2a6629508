import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { type OpenRemote, RangeGone, type RemoteFile, type Resume } from './remote-file.js';

const READ_BYTES = 256 * 1024;

/** A file of this machine that is to be copied. */
export class LocalFile implements RemoteFile {
  constructor(readonly name: string) {}

  async open(resume: Resume | undefined): Promise<OpenRemote> {
    const { size, mtimeMs, ino } = await stat(this.name);
    const version = `${size} ${mtimeMs} ${ino}`;
    if (resume !== undefined && resume.version !== version) throw new RangeGone(`${this.name} is another file by now.`);
    const from = resume?.from ?? 0;
    const content = createReadStream(this.name, { start: from, highWaterMark: READ_BYTES });
    content.on('error', () => {}); // Whoever reads is told.
    return {
      ...{ from, bytes: size, version, sha256: undefined, content },
      [Symbol.asyncDispose]: async () => void content.destroy(),
    };
  }
}
