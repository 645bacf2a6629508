import type { FuzzReport } from './fuzz-run.ts';

/** The figures of a run, as Markdown. */
export function reportText({ requests, seconds, byStatus, byOperation, faults }: FuzzReport, seed: number): string {
  const statuses = [...byStatus].map(([status, count]) => `${status || 'none'}: ${count}`).join(', ');
  const rows = [...byOperation]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, { requests: sent, statuses: own, worstMs }]) => {
      const count = (from: number) =>
        [...own].reduce((sum, [status, times]) => (Math.floor(status / 100) === from ? sum + times : sum), 0);
      return `| ${name} | ${sent} | ${count(2)} | ${count(4)} | ${count(5) + count(0)} | ${Math.round(worstMs)} |`;
    });
  const slowest = [...byOperation].sort(([, a], [, b]) => b.worstMs - a.worstMs).slice(0, 3);
  return [
    `${requests} requests in ${seconds.toFixed(0)} s (${(requests / seconds).toFixed(0)}/s), seed ${seed}.`,
    `By status: ${statuses}.`,
    `Slowest: ${slowest.map(([name, { worstMs }]) => `${name} ${Math.round(worstMs)} ms`).join(', ')}.`,
    '',
    '| operation | requests | 2xx | 4xx | 5xx or none | slowest, ms |',
    '| --- | ---: | ---: | ---: | ---: | ---: |',
    ...rows,
    ...faults.flatMap(({ number, operation, complaints, curl }) => [
      '',
      `FAULT at ${operation}: ${complaints.join('; ')}`,
      `  again: make fuzz SEED=${seed} FROM=${number} REQUESTS=1`,
      `  ${curl}`,
    ]),
    '',
    faults.length === 0 ? 'No faults.' : `${faults.length} faults.`,
  ].join('\n');
}
