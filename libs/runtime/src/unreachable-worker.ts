const IN_WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  EHOSTUNREACH: 'no network leads there',
  ENETUNREACH: 'no network leads there',
  ETIMEDOUT: 'it does not take the connection',
};

/** Why no connection to a worker came about, out of what grpc-js says; undefined where there was one. */
export function unreachableWorker(details: string): string | undefined {
  const [, last] =
    /^No connection established\. Last error: (?:Error: )?(.*?)(?:\. Resolution note: .*)?$/s.exec(details) ?? [];
  if (last === undefined) return undefined;
  const [code = ''] = /\bE[A-Z]{4,}\b/.exec(last) ?? [];
  return IN_WORDS[code] === undefined ? last : `${IN_WORDS[code]}: ${code}`;
}
