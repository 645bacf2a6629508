import { setImmediate } from 'node:timers/promises';
import type { EmbeddingsBody } from '@millrace/contracts';
import type { Vectors } from '../dispatch/worker-client.js';
import type { ValidEmbedRequest } from '../vocabulary.js';

const FLOAT_BYTES = 4;
/** Numbers written in one turn of the event loop: some ten milliseconds. */
const NUMBERS_PER_TURN = 64 * 1024;

/**
 * OpenAI's answer with vectors, as text. Written vector by vector, since the largest answers hold millions of numbers:
 * in one go they would hold up every other stream of this gateway for a second or two.
 */
export async function embeddingsText(
  { model, encoding }: Pick<ValidEmbedRequest, 'model' | 'encoding'>,
  { vectors, promptTokens }: Vectors,
): Promise<string> {
  const items: string[] = [];
  let numbers = 0;
  for (const [index, vector] of vectors.entries()) {
    const embedding = encoding === 'base64' ? base64Of(vector) : numbersOf(vector);
    items.push(JSON.stringify({ object: 'embedding', index, embedding } satisfies EmbeddingsBody['data'][number]));
    numbers += vector.length / FLOAT_BYTES;
    if (numbers < NUMBERS_PER_TURN) continue;
    numbers = 0;
    await setImmediate();
  }
  const rest = { model: model.id, usage: { prompt_tokens: promptTokens, total_tokens: promptTokens } };
  return `{"object":"list","data":[${items.join()}],${JSON.stringify(rest).slice(1)}`;
}

function base64Of(vector: Uint8Array): string {
  return Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString('base64');
}

function numbersOf(vector: Uint8Array): number[] {
  const view = new DataView(vector.buffer, vector.byteOffset, vector.byteLength);
  return Array.from({ length: vector.length / FLOAT_BYTES }, (_, index) =>
    asWritten(view.getFloat32(index * FLOAT_BYTES, true)),
  );
}

/**
 * A 32-bit float with no more digits than it has. As it stands, JSON would write up to 17 digits of it, most of them of
 * the double that holds it: 16 bytes a number more than half of which say nothing. Eight digits bring it back nearly
 * always, nine always do. (Measured for 2,048 vectors of 384: 9.8 MB instead of 16.3, in 174 ms instead of 128.)
 */
export function asWritten(float: number): number {
  const short = Number(float.toPrecision(8));
  return Math.fround(short) === float ? short : Number(float.toPrecision(9));
}
