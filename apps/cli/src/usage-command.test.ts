import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { UsageReportBody } from '@millrace/contracts';
import { afterEach, describe, expect, it } from 'vitest';
import { usageCommand, usageText } from './usage-command.js';

const COUNTS = {
  requests: 1_200,
  failed_requests: 3,
  cached_requests: 40,
  prompt_tokens: 5_000,
  cached_tokens: 0,
  completion_tokens: 700,
  total_tokens: 5_700,
};
const REPORT: UsageReportBody = {
  object: 'millrace.usage',
  from: '2026-11-01',
  to: '2026-11-21',
  data: [
    { day: '2026-11-21', key_id: 'abc', key_name: 'alice', model: 'demo', ...COUNTS },
    { day: '2026-11-20', key_id: null, key_name: null, model: null, ...COUNTS },
  ],
  has_more: false,
  pending_records: 0,
};

const widest = (text: string) => Math.max(...text.split('\n').map((line) => line.length));

describe('usageText', () => {
  it('is a table with its sums', () => {
    expect(usageText(REPORT).split('\n')).toEqual([
      'Usage from 2026-11-01 to 2026-11-21 (UTC):',
      '',
      'DAY         KEY   NAME   MODEL    REQUESTS  FAILED  HITS  PROMPT  CACHED  ANSWERS  TOKENS',
      '2026-11-21  abc   alice  demo        1,200       3    40   5,000       0      700   5,700',
      '2026-11-20  none         unknown     1,200       3    40   5,000       0      700   5,700',
      'total                                2,400       6    80  10,000       0    1,400  11,400',
      '',
    ]);
  });

  it('leaves out what rows are not told apart by', () => {
    const data = REPORT.data.map(({ day, model, ...row }) => row);
    expect(usageText({ ...REPORT, data })).toContain('\nKEY    NAME   REQUESTS');
  });

  it('fits a terminal, and says what that costs', () => {
    const data = REPORT.data.map((row) => ({
      ...row,
      key_id: row.key_id && '3vQB7B6MrGQZaxCu',
      model: 'millrace-demo',
    }));
    const wide = usageText({ ...REPORT, data });
    expect(widest(wide)).toBeGreaterThan(80);
    expect(usageText({ ...REPORT, data }, 200)).toBe(wide);
    const narrow = usageText({ ...REPORT, data }, 80);
    expect(widest(narrow)).toBeLessThanOrEqual(80);
    expect(narrow).toContain('REQUESTS  FAILED  TOKENS');
    expect(narrow).toContain('No room for HITS, CACHED, PROMPT, ANSWERS: --json has them.');
    expect(usageText({ ...REPORT, data }, 20)).toContain('No room for HITS, CACHED, PROMPT, ANSWERS, FAILED: --json');
  });

  it('says what is missing', () => {
    const text = usageText({ ...REPORT, has_more: true, pending_records: 1_234 });
    expect(text).toMatch(/more than these 2 rows: --limit/);
    expect(text).toContain('1,234 requests are not in the database yet');
    expect(usageText({ ...REPORT, pending_records: 1 })).toContain('1 request is not in the database yet, and');
    expect(usageText({ ...REPORT, data: [] })).toContain('none');
  });

  it('lets no name speak to the terminal', () => {
    const data = [{ ...REPORT.data[0]!, key_name: '\u001b[31mred\n', model: `m${'x'.repeat(200)}` }];
    const text = usageText({ ...REPORT, data });
    expect([text.includes('\u001b'), text.includes('x'.repeat(60))]).toEqual([false, false]);
  });
});

describe('millrace usage', () => {
  let server: Server | undefined;
  afterEach(() => server?.close());

  async function run(args: readonly string[], answer: object, status = 200) {
    const asked: IncomingMessage[] = [];
    server = createServer((request, response) => {
      asked.push(request);
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
    });
    await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve));
    let output = '';
    const { port } = server.address() as AddressInfo;
    const done = usageCommand.run({
      args: [...args, '--url', `http://127.0.0.1:${port}`],
      environment: { MILLRACE_ADMIN_KEY: 'the-admin-key-0123456789abcdef-0123456789' },
      workingFolder: '/',
      write: (text) => {
        output += text;
      },
      isTerminal: false,
    });
    return { status: await done, output, asked };
  }

  it('asks with the admin key for what the flags say', async () => {
    const { status, output, asked } = await run(['--from', '2026-11-01', '--by', 'key,day', '--key', 'abc'], REPORT);
    expect(status).toBe(0);
    expect(asked[0]?.headers.authorization).toBe('Bearer the-admin-key-0123456789abcdef-0123456789');
    expect(asked[0]?.url).toBe('/admin/usage?limit=1000&from=2026-11-01&key=abc&group_by=key%2Cday');
    expect(output).toContain('alice');
  });

  it('prints what the gateway answered, as JSON', async () => {
    const { output } = await run(['--json'], REPORT);
    expect(JSON.parse(output)).toEqual(REPORT);
  });

  it('says what the gateway refuses', async () => {
    const error = {
      message: '`from` is wrong.',
      type: 'invalid_request_error',
      param: 'from',
      code: 'invalid_request',
    };
    await expect(run(['--from', 'x'], { error }, 400)).rejects.toThrow('`from` is wrong.');
  });
});
