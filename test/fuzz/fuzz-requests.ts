import fc from 'fast-check';
import { completed, hintsFor } from './hints.ts';
import { collectionAt, idAt, indexes, parentAt } from './known-ids.ts';
import { type OpenApiDocument, type Operation, operationsOf, resolvePointer, type Schema } from './open-api.ts';
import { SchemaValues } from './schema-values.ts';
import { isBranch, spoils, spoilt } from './spoilt-values.ts';

export interface FuzzRequest {
  /** What it is made for; whether it is that still, see `astray`. */
  readonly operation: Operation;
  readonly method: string;
  /** With its query; ids still to be put in. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly key: 'known' | 'unknown' | 'none';
  readonly body: Buffer | string | undefined;
  /** Its path or its method are not those of the operation. */
  readonly astray: boolean;
}

/** Requests over all that the document lists, as a client sends them that read it, and as one does that did not. */
export function fuzzRequests(document: OpenApiDocument): fc.Arbitrary<FuzzRequest> {
  return fc.oneof(
    ...operationsOf(document).map((operation) => {
      const own = new SchemaValues(document, hintsFor(operation.path));
      // There is more to be wrong with a body than with a path.
      return { weight: operation.body === undefined ? 1 : 3, arbitrary: requestsOf(document, operation, own) };
    }),
  );
}

/** Below which everything of `/v1` is served as well. */
const ALIAS = '/openai';

function requestsOf(document: OpenApiDocument, operation: Operation, values: SchemaValues): fc.Arbitrary<FuzzRequest> {
  return fc
    .record({
      path: pathOf(operation),
      query: queryOf(operation, values),
      headers: headersOf(operation, values),
      body: bodyOf(document, operation, values),
      method: rarely(fc.constantFrom('PUT', 'PATCH', 'DELETE', 'OPTIONS', 'GET', 'POST', 'HEAD'), operation.method),
      detour: rarely(
        fc.constantFrom<(path: string) => string>(
          (path) => `${path}/`,
          (path) => `/${path}`,
          (path) => path.toUpperCase(),
          (path) => `${path}/nothing`,
          (path) => path.replace('/v1', ''),
          // `/openai/models` is `/v1/models`, and not `/models`, which has an answer of its own.
          (path) => (path.startsWith('/v1/') ? ALIAS + path : `/v2${path}`),
          (path) => path.replace('/v1', '/v2'),
        ),
        (path: string) => path,
      ),
      key: fc.oneof(
        { weight: 38, arbitrary: fc.constant('known' as const) },
        { weight: 1, arbitrary: fc.constant('unknown' as const) },
        { weight: 1, arbitrary: fc.constant('none' as const) },
      ),
    })
    .map(({ path, query, headers, body, method, detour, key }) => {
      const gone = detour(path);
      return {
        operation,
        method,
        target: gone + query,
        headers: { ...body?.headers, ...headers },
        key,
        body: body?.bytes,
        astray: (gone !== path && gone !== ALIAS + path) || method !== operation.method,
      };
    });
}

function rarely<T, U>(odd: fc.Arbitrary<T>, usual: U, times = 40): fc.Arbitrary<T | U> {
  return fc.oneof({ weight: times - 1, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: odd });
}

const ODD_PARTS = fc.constantFrom(
  'nothing',
  'null',
  '-1',
  '..',
  '%2e%2e%2f%2e%2e%2fetc%2fpasswd',
  '%00',
  '%zz',
  '%ff',
  '%ed%a0%80',
  '%F0%9F%A6%99',
  '%0d%0aset-cookie:a=b',
  "';--",
  '__proto__',
  'file-',
  'x'.repeat(200),
  'y'.repeat(3_000),
);

/** Ids of what there is, and whatever else may stand in their place. */
function pathOf({ path }: Operation): fc.Arbitrary<string> {
  const parts = path.split('/');
  const params = parts.flatMap((part, at) => (part.startsWith('{') ? [at] : []));
  if (params.length === 0) return fc.constant(path);
  const known = indexes.map((index) =>
    parts.map((part, at) => (part.startsWith('{') ? knownPart(path, parts, params, at, index) : part)),
  );
  const odd = rarely(ODD_PARTS, undefined, 6);
  return fc.tuple(known, odd, fc.nat({ max: params.length - 1 })).map(([filled, other, which]) => {
    if (other !== undefined) filled[params[which]!] = other;
    return filled.join('/');
  });
}

/** What lies in something is asked for there, most of the time. */
function knownPart(
  path: string,
  parts: readonly string[],
  params: readonly number[],
  at: number,
  index: number,
): string {
  const own = collectionAt(parts.slice(0, at).join('/'));
  if (own === 'models') return index % 2 ? 'millrace-demo' : 'millrace-demo-embed';
  const inner = params.length > 1 && at === params[0] ? collectionAt(parts.slice(0, params[1]).join('/')) : undefined;
  if (inner !== undefined) return parentAt(inner, index);
  return /uploads\/.*\/complete$/.test(path) ? parentAt('uploads/parts', index) : idAt(own, index);
}

const ODD_TEXTS = fc.constantFrom(
  '',
  '-1',
  '0',
  '1e999',
  'NaN',
  '1.5',
  '%00',
  '%ed%a0%80',
  '%zz',
  '%F0%9F%A6%99',
  'null',
  '[]',
  'z'.repeat(4_000),
);
const ODD_QUERIES = fc.constantFrom(
  'unheard_of=1',
  '__proto__=1',
  '__proto__[a]=1',
  'limit[]=1',
  'limit=1&limit=2',
  'a[b][c]=d',
  '&&&',
  '=',
  '%00=%00',
  `${'a=b&'.repeat(500)}`,
);

function queryOf({ parameters }: Operation, values: SchemaValues): fc.Arbitrary<string> {
  const own = parameters
    .filter((parameter) => parameter.in === 'query')
    .map(({ name, schema }) => {
      const valid = values.of(schema).map((value) => queryText(value));
      const value = fc.oneof({ weight: 3, arbitrary: valid }, { weight: 1, arbitrary: ODD_TEXTS });
      return rarely(
        value.map((text) => `${name}=${text}`),
        undefined,
        4,
      );
    });
  return fc.tuple(fc.tuple(...own), rarely(ODD_QUERIES, '')).map(([pairs, odd]) => {
    const all = [...pairs.filter((pair) => pair !== undefined), ...(odd === '' ? [] : [odd])];
    return all.length === 0 ? '' : `?${all.join('&')}`;
  });
}

/** Ids to be put in keep their braces; the rest is escaped, and half a character as its three bytes. */
function queryText(value: unknown): string {
  const text = String(value);
  return text.startsWith('{{') ? text : encodeURIComponent(text.toWellFormed());
}

const ODD_HEADERS = fc.constantFrom<Record<string, string>>(
  { accept: 'text/event-stream' },
  { accept: 'image/png' },
  { 'content-type': 'text/plain' },
  { 'content-type': 'application/json; charset=utf-16' },
  { 'content-type': 'application/x-www-form-urlencoded' },
  { 'content-type': 'multipart/form-data' },
  { 'content-type': 'multipart/form-data; boundary=' },
  { 'content-type': '' },
  { 'content-encoding': 'gzip' },
  { 'content-encoding': 'br, gzip' },
  { 'x-millrace-deadline-ms': '1' },
  { 'x-millrace-deadline-ms': '-1' },
  { 'x-millrace-deadline-ms': 'soon' },
  { 'x-request-id': 'x'.repeat(500) },
  { range: 'bytes=0-1' },
  { range: 'bytes=5-1,,' },
  { range: 'bytes=99999999999999999999-' },
  { 'if-none-match': '*' },
  { 'if-modified-since': 'yesterday' },
  { origin: 'https://evil.example' },
  { 'anthropic-version': '1900-01-01' },
  { 'anthropic-beta': 'nothing' },
  { 'openai-organization': "o'" },
  { 'openai-beta': 'assistants=v1' },
  { 'idempotency-key': 'k' },
  { 'x-stainless-retry-count': '-5' },
  { cookie: 'a=b; a=c; =;' },
  { traceparent: '00-0-0-0' },
);

function headersOf({ parameters }: Operation, values: SchemaValues): fc.Arbitrary<Record<string, string>> {
  const own = parameters
    .filter((parameter) => parameter.in === 'header')
    .map(({ name, schema }) =>
      rarely(
        values.of(schema).map((value) => [name, String(value).replaceAll(/[^\x20-\x7e]/g, '')] as const),
        undefined,
      ),
    );
  return fc.tuple(fc.tuple(...own), rarely(ODD_HEADERS, {})).map(([pairs, odd]) => ({
    ...Object.fromEntries(pairs.filter((pair) => pair !== undefined)),
    ...odd,
  }));
}

interface Body {
  readonly bytes: Buffer | string;
  readonly headers: Record<string, string>;
}

const JSON_TYPE = { 'content-type': 'application/json' };

function bodyOf(document: OpenApiDocument, operation: Operation, values: SchemaValues): fc.Arbitrary<Body | undefined> {
  const { body, method } = operation;
  // Some clients send `{}` where nothing is asked for.
  if (body === undefined) {
    return method === 'POST'
      ? rarely(fc.constant({ bytes: '{}', headers: JSON_TYPE }), undefined)
      : fc.constant(undefined);
  }
  return body.isForm ? formsOf(document, body.schema, values) : jsonOf(operation.path, body.schema, values);
}

function jsonOf(path: string, schema: Schema, values: SchemaValues): fc.Arbitrary<Body> {
  const valid = values.of(schema).map((value) => completed(path, value));
  return fc
    .tuple(
      valid,
      spoils,
      rarely(ODD_WRITING, (text: string): Buffer | string => text),
    )
    .map(([value, changes, write]) => ({
      bytes: write(JSON.stringify(changes.reduce(spoilt, value)) ?? ''),
      headers: JSON_TYPE,
    }));
}

/** JSON that is none, or that not everybody reads alike. */
const ODD_WRITING = fc.oneof(
  fc.nat({ max: 200 }).map((length) => (text: string) => text.slice(0, length)),
  fc.constantFrom<(text: string) => Buffer | string>(
    () => '',
    (text) => `\ufeff${text}`,
    (text) => ` \n\t${text}\r\n `,
    (text) => `${text},`,
    (text) => text + text,
    (text) => text.replace('{', '{"model":"gpt-9","model":"millrace-demo",'),
    (text) => text.replace('{', '{"stream":true,"stream":false,'),
    (text) => text.replaceAll('"', "'"),
    (text) => text.replace(/\d+/, '0x10'),
    (text) => text.replace(/\d+/, '01'),
    (text) => text.replace(/\d+/, 'NaN'),
    (text) => text.replace('}', ',}'),
    (text) => Buffer.concat([Buffer.from(text.slice(0, -1)), Buffer.from([0xff, 0xfe]), Buffer.from('}')]),
    (text) => Buffer.from(text, 'utf16le'),
    (text) => `/* */${text}`,
    (text) => `[${text}]`,
    (text) => JSON.stringify(text),
  ),
);

const BOUNDARY = 'fuzz-boundary';
const BATCH_LINE = {
  custom_id: 'a',
  method: 'POST',
  url: '/v1/chat/completions',
  body: { model: 'millrace-demo', messages: [{ role: 'user', content: 'Hello!' }], max_tokens: 2 },
};

/** What a file holds: a batch, a text to be searched, or nothing that anybody can read. */
const CONTENTS = fc.constantFrom<Buffer | string>(
  ...new Array<string>(3).fill(JSON.stringify(BATCH_LINE)),
  'abc',
  'abc',
  `${JSON.stringify(BATCH_LINE)}\n${JSON.stringify({ ...BATCH_LINE, custom_id: 'b' })}\n`,
  JSON.stringify({ ...BATCH_LINE, url: '/v1/nothing' }),
  'The mill stands beside the river. Anna wrote the letter.\n'.repeat(20),
  '# Title\n\nA page.',
  '<html><body><p>A page.</p></body></html>',
  '{"a": [1, 2',
  '',
  '\u0000\u0001',
  Buffer.from('%PDF-1.7\nnonsense'),
  Buffer.from([0x50, 0x4b, 3, 4, 0, 0, 0, 0]),
  Buffer.from([0xff, 0xfe, 0xfd]),
  'x'.repeat(50_000),
);
const FILE_NAMES = fc.constantFrom(
  'a.jsonl',
  'letter.md',
  'page.html',
  'a.pdf',
  'a.docx',
  'a',
  '../../a.txt',
  'ä.txt',
  'a"b.txt',
  '',
  '.',
);

function formsOf(document: OpenApiDocument, schema: Schema, values: SchemaValues): fc.Arbitrary<Body> {
  const { properties = {} } = schema.$ref === undefined ? schema : resolvePointer(document, schema.$ref);
  const files = new Set(
    Object.entries(properties).flatMap(([name, { format }]) => (format === 'binary' ? [name] : [])),
  );
  return fc
    .record({
      fields: values.of(schema) as fc.Arbitrary<Record<string, unknown>>,
      changes: spoils,
      // Parts of an upload make a file of the bytes that were promised, now and then.
      content: rarely(CONTENTS, 'abc', files.has('data') ? 4 : 1),
      fileName: FILE_NAMES,
      end: rarely(fc.constantFrom('', '--', `\r\n--${BOUNDARY}\r\n`, '\r\n--other--\r\n'), `\r\n--${BOUNDARY}--\r\n`),
      boundary: rarely(fc.constantFrom('other', '', 'x'.repeat(300)), BOUNDARY),
    })
    .map(({ fields, changes, content, fileName, end, boundary }) => {
      const sent = changes.reduce(spoilt, fields) as unknown;
      const parts = Object.entries(isBranch(sent) ? sent : {}).map(([name, value]) =>
        files.has(name) && value !== null
          ? part(`form-data; name="${name}"; filename="${fileName}"`, content)
          : part(`form-data; name="${name.replaceAll(/["\r\n]/g, '')}"`, fieldText(value)),
      );
      const bytes = Buffer.concat([...joined(parts), Buffer.from(end)]);
      return { bytes, headers: { 'content-type': `multipart/form-data; boundary=${boundary}` } };
    });
}

function fieldText(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
}

function part(disposition: string, content: Buffer | string): Buffer {
  return Buffer.concat([
    Buffer.from(`--${BOUNDARY}\r\ncontent-disposition: ${disposition}\r\n\r\n`),
    Buffer.from(content as string),
  ]);
}

function joined(parts: readonly Buffer[]): Buffer[] {
  return parts.flatMap((bytes, index) => (index === 0 ? [bytes] : [Buffer.from('\r\n'), bytes]));
}
