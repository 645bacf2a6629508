import { ageOf, type CertificateAge, dateText, timeText } from './certificate-age.js';
import { ConfigurationError } from './configuration-error.js';
import type { Logger } from './logger.js';
import {
  checkTlsContents,
  keyExposure,
  readTlsFiles,
  type TlsContents,
  type TlsFiles,
  type TlsMaterial,
  TlsProblem,
} from './tls-files.js';

/**
 * Between two looks at the files. They are read whole each time: some kilobytes cost nothing, and neither the swapped links of Kubernetes
 * nor a file system with coarse times can hide a change.
 */
const CHECK_MS = 1_000;

export interface WatchedTlsOptions {
  readonly checkMs?: number;
  readonly nowMs?: () => number;
}

/** What was found instead of what is in force, and why it is not taken. */
interface Refused {
  readonly digest: string;
  readonly why: string;
  /** A pair that is being replaced is for a moment half old and half new; only what is still there at the next look is worth a word. */
  readonly told: boolean;
}

/**
 * A certificate, its key and authorities, as they stand in files that may change at any time.
 *
 * Ownership: it owns its timer; whoever opened it closes it.
 * Concurrency: `current` is replaced as a whole and only by a pair that belongs together, in the turn in which the listeners are told.
 * Of two looks the second begins when the first has ended: a file system that hangs holds up one of them, and no more.
 */
export class WatchedTls {
  readonly #files: TlsFiles;
  readonly #logger: Logger;
  readonly #nowMs: () => number;
  readonly #checkMs: number;
  readonly #listeners = new Set<(material: TlsMaterial) => void>();
  #current: TlsMaterial;
  #refused: Refused | undefined;
  #age: CertificateAge = 'fresh';
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  private constructor(files: TlsFiles, current: TlsMaterial, logger: Logger, options: WatchedTlsOptions) {
    this.#files = files;
    this.#current = current;
    this.#logger = logger;
    this.#nowMs = options.nowMs ?? Date.now;
    this.#checkMs = options.checkMs ?? CHECK_MS;
    this.#tellAge();
    this.#lookLater();
  }

  /**
   * Reads the files and goes on watching them. A certificate that has expired is no obstacle, neither here nor later: it is said, loudly,
   * and clients refuse it by themselves. A start that failed would only take away what still answers.
   *
   * @throws ConfigurationError when a file can't be used.
   */
  static async open(files: TlsFiles, logger: Logger, options: WatchedTlsOptions = {}): Promise<WatchedTls> {
    let current: TlsMaterial;
    try {
      current = checkTlsContents(files, await readTlsFiles(files));
    } catch (error) {
      if (error instanceof TlsProblem) throw new ConfigurationError([error.message]);
      throw error;
    }
    const exposure = await keyExposure(files);
    if (exposure !== undefined) logger.warn(exposure);
    return new WatchedTls(files, current, logger, options);
  }

  /** What is in force. */
  get current(): TlsMaterial {
    return this.#current;
  }

  /** The group of settings that names the files. */
  get group(): string {
    return this.#files.group;
  }

  /** Until it expires; negative once it has. */
  get secondsLeft(): number {
    return (this.#current.notAfterMs - this.#nowMs()) / 1_000;
  }

  /** What is wrong, as sentences; undefined: nothing is. */
  get trouble(): string | undefined {
    const sentences = [this.#ageTrouble(), this.#refused?.told ? this.#refusal(this.#refused) : undefined];
    return sentences.filter((one) => one !== undefined).join(' ') || undefined;
  }

  /** Calls `listener`, which must not throw, with whatever comes into force from now on; returns what stops that. */
  watch(listener: (material: TlsMaterial) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#listeners.clear();
  }

  #lookLater(): void {
    if (this.#closed) return;
    this.#timer = setTimeout(() => void this.#look().finally(() => this.#lookLater()), this.#checkMs).unref();
  }

  async #look(): Promise<void> {
    let contents: TlsContents | undefined;
    try {
      contents = await readTlsFiles(this.#files);
      if (this.#closed) return;
      if (contents.digest === this.#current.digest) this.#refused = undefined;
      else this.#consider(contents);
    } catch (error) {
      // Whatever it is: what is in force stays.
      this.#refuse(contents?.digest ?? '', error instanceof Error ? error.message : String(error));
    }
    if (!this.#closed) this.#tellAge();
  }

  /** @throws TlsProblem when it can't be used. */
  #consider(contents: TlsContents): void {
    const next = checkTlsContents(this.#files, contents);
    const nowMs = this.#nowMs();
    const [age, ageNow] = [ageOf(next, nowMs), ageOf(this.#current, nowMs)];
    const isUsable = age !== 'expired' && age !== 'not yet valid';
    // It is looked at again each time, so that one that becomes valid comes into force when it does.
    if (!isUsable && ageNow !== 'expired' && ageNow !== 'not yet valid') {
      throw new TlsProblem(
        `The certificate in ${this.#place} is ${age === 'expired' ? pastText(next) : laterText(next)}.`,
      );
    }
    this.#adopt(next);
  }

  #adopt(next: TlsMaterial): void {
    this.#current = next;
    this.#refused = undefined;
    this.#age = 'fresh';
    const { subject, notAfterMs } = next;
    this.#logger.info({ subject, validUntil: dateText(notAfterMs) }, `a new certificate is in force (${this.group})`);
    for (const listener of [...this.#listeners]) listener(next);
  }

  #refuse(digest: string, why: string): void {
    const before = this.#refused;
    const again = before?.digest === digest && before.why === why;
    const refused = { digest, why, told: again };
    this.#refused = refused;
    if (again && !before.told) this.#logger.warn(this.#refusal(refused));
  }

  #refusal({ why }: Refused): string {
    return `${why} What was read before stays in force; it is valid until ${dateText(this.#current.notAfterMs)}.`;
  }

  get #place(): string {
    const { group, certFile, caFile } = this.#files;
    return certFile === undefined ? `${caFile} (${group}.caFile)` : `${certFile} (${group}.certFile)`;
  }

  #ageTrouble(): string | undefined {
    const age = ageOf(this.#current, this.#nowMs());
    if (age === 'expired') {
      return `The certificate in ${this.#place} is ${pastText(this.#current)}: whoever checks it refuses it. Put a new one in its place; no restart is needed.`;
    }
    if (age === 'not yet valid') {
      return `The certificate in ${this.#place} is ${laterText(this.#current)}: whoever checks it refuses it. Compare the clock of this machine.`;
    }
    return undefined;
  }

  /** Once for each stage of its life. */
  #tellAge(): void {
    const nowMs = this.#nowMs();
    const age = ageOf(this.#current, nowMs);
    if (age === this.#age) return;
    this.#age = age;
    const { notAfterMs, subject } = this.#current;
    const trouble = this.#ageTrouble();
    if (trouble !== undefined) this.#logger.error({ subject }, trouble);
    else if (age !== 'fresh') {
      this.#logger.warn(
        { subject },
        `The certificate in ${this.#place} expires in ${timeText(notAfterMs - nowMs)}, at ${dateText(notAfterMs)}. Renew it: a new one is read when it is in its place.`,
      );
    }
  }
}

function pastText({ notAfterMs }: TlsMaterial): string {
  return `expired since ${dateText(notAfterMs)}`;
}

function laterText({ notBeforeMs }: TlsMaterial): string {
  return `not valid before ${dateText(notBeforeMs)}`;
}
