import { GgufDamage, readGgufLayout } from '@millrace/runtime';

/**
 * Looks at the beginning of a `.gguf` file before anything else reads it: parsers that trust a damaged one may take all
 * memory, or never end.
 *
 * @throws Error in one sentence when the file can't be read, is no GGUF, or is cut short.
 */
export async function refuseDamagedFile(path: string): Promise<void> {
  try {
    await readGgufLayout(path);
  } catch (cause) {
    if (!(cause instanceof GgufDamage)) {
      const code = (cause as NodeJS.ErrnoException).code ?? String(cause);
      throw new Error(`The model file ${path} can't be read (${code}). Check the path.`, { cause });
    }
    const remedy = cause.truncated ? 'Copy or download it again.' : 'llama.cpp runs only models in that format.';
    const what = cause.truncated ? `The model file ${path} is damaged` : `${path} is no GGUF file that can be read`;
    throw new Error(`${what}: ${cause.message}. ${remedy}`, { cause });
  }
}
