/** `values` at length 1. @throws Error when they point nowhere: all zero, or not numbers. */
export function unitVector(values: ArrayLike<number>): Float32Array {
  let squares = 0;
  for (let at = 0; at < values.length; at++) squares += values[at]! ** 2;
  const length = Math.sqrt(squares);
  if (!(length > 0 && length < Number.POSITIVE_INFINITY)) {
    throw new Error(`The model gave a vector of length ${length}, which points nowhere; its file may be damaged.`);
  }
  return Float32Array.from(values, (value) => value / length);
}
