import { InferenceError, PART_BYTES_MAX } from '@millrace/contracts';
import { noRoom } from './kept-bytes.js';

/** A part whose answer was lost is sent again and counts twice: as much again as was promised, and no more than four of the largest. */
const SPARE_BYTES_MAX = 4 * PART_BYTES_MAX;

/** What there is beside the part that is asked about. */
export interface PartRoom {
  readonly parts: number;
  /** Bytes of those parts, and what is expected of those on their way. */
  readonly sent: number;
  /** Bytes of the upload. */
  readonly promised: number;
  /** Bytes of everything else of the same key. */
  readonly besides: number;
  /** `fileBytesPerKeyMax`. */
  readonly keptMax: number;
}

/** How many bytes a part may have. */
export function bytesLeftIn(room: PartRoom): number {
  return Math.max(0, Math.min(PART_BYTES_MAX, sentMaxOf(room) - room.sent, keptMaxOf(room) - room.sent));
}

/** @throws InferenceError where a part of so many bytes, or more, is too much. */
export function refusePartBeyond(room: PartRoom, bytes: number): void {
  const { sent, promised, besides, keptMax } = room;
  if (bytes > PART_BYTES_MAX) throw partTooLarge(bytes);
  if (sent + bytes > sentMaxOf(room)) throw tooMuch(sent + bytes, promised, sentMaxOf(room));
  if (sent + bytes > keptMaxOf(room)) throw noRoom(besides + Math.max(promised, sent), bytes, keptMax);
}

function sentMaxOf({ promised }: PartRoom): number {
  return promised + Math.min(promised, SPARE_BYTES_MAX);
}

/** What was promised has its room, though the limit has been lowered since. */
function keptMaxOf({ promised, besides, keptMax }: PartRoom): number {
  return Math.max(promised, keptMax - besides);
}

function partTooLarge(bytes: number): InferenceError {
  const [given, limit] = [bytes, PART_BYTES_MAX].map((count) => count.toLocaleString('en'));
  return new InferenceError('file_too_large', `The part has ${given} bytes or more; a part may have ${limit}.`, {
    param: 'data',
  });
}

function tooMuch(sent: number, promised: number, sentMax: number): InferenceError {
  const [has, said, most] = [sent, promised, sentMax].map((count) => count.toLocaleString('en'));
  return new InferenceError(
    'invalid_request',
    `The parts of this upload would have ${has} bytes together or more; ${said} were promised, and with parts that are sent again they may have ${most}. Begin anew, with as many bytes as there are.`,
    { param: 'data' },
  );
}
