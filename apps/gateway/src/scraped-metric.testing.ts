/** What a gateway says of one of its metrics, all of its series together; 0 where there is none. */
export async function scrapedMetric(url: string, name: string): Promise<number> {
  const page = await (await fetch(`${url}/metrics`, { headers: { connection: 'close' } })).text();
  const series = page.split('\n').filter((line) => /^\w+/.exec(line)?.[0] === name);
  return series.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}
