import { counter } from '@millrace/runtime';
import { MEASURED } from './declarations.js';

/** How much content of files goes in and out. */
export class FileMetrics {
  readonly #bytes = counter(MEASURED.fileBytes);

  kept(bytes: number): void {
    this.#bytes.add(bytes, { direction: 'in' });
  }

  read(bytes: number): void {
    this.#bytes.add(bytes, { direction: 'out' });
  }
}
