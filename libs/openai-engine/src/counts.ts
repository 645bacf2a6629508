/** What the protocol between gateway and worker can carry, and far more than there is of anything counted here. */
const COUNT_MAX = 0xffff_ffff;

/** What an upstream calls a number of tokens or characters; undefined where it is none that could be true. */
export function countIn(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= COUNT_MAX ? value : undefined;
}
