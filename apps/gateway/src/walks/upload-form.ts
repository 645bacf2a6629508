/** A form as it comes in: its fields, and one file among them that is read as it comes. */
export interface UploadForm {
  /** Of the file, at least, by what its sender says of the form; undefined: they don't say. */
  readonly bytesExpected: number | undefined;
  /** Those that have come so far, by their names as they were sent: `expires_after[seconds]`. */
  readonly fields: ReadonlyMap<string, string>;
  /**
   * The file under this name, once it begins to come. Its content throws what is wrong with the form or its sender.
   *
   * @throws InferenceError when there is none, and what else is wrong.
   */
  file(name: string): Promise<FormFile>;
  /** When all of it has come, the file first of all read to its end. @throws InferenceError when it never does, or has a second file. */
  end(): Promise<void>;
}

export interface FormFile {
  /** Without the folders that it was sent with. */
  readonly filename: string;
  readonly content: AsyncIterable<Uint8Array>;
}
