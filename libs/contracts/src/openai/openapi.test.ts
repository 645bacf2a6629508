import { describe, expect, it } from 'vitest';
import { openApiDocument } from './openapi.js';

interface Response {
  readonly headers: object;
  readonly content: object;
}

interface Written {
  readonly operationId: string;
  readonly parameters?: readonly { readonly name: string }[];
  readonly responses: Readonly<Record<string, Response | { readonly $ref: string }>>;
}

const { paths, components } = openApiDocument() as {
  paths: Readonly<Record<string, Readonly<Record<string, Written>>>>;
  components: { readonly responses: Readonly<Record<string, Response>> };
};

function response(path: string, method: string, status: number): Response {
  const written = paths[path]![method]!.responses[status]!;
  return '$ref' in written ? components.responses[written.$ref.replace('#/components/responses/', '')]! : written;
}

describe('the OpenAPI document', () => {
  it('names no two operations alike, or generated clients would have one function for both', () => {
    const ids = Object.values(paths).flatMap((methods) => Object.values(methods).map(({ operationId }) => operationId));
    expect(new Set(ids).size).toBe(ids.length);
  });

  it.each([
    ['post', '/v1/responses', 409, 'retry-after'],
    ['post', '/v1/chat/completions', 502, 'x-should-retry'],
    ['post', '/v1/chat/completions', 429, 'x-millrace-limit'],
    ['post', '/v1/embeddings', 200, 'x-ratelimit-remaining-tokens'],
    ['post', '/v1/moderations', 200, 'x-millrace-cache'],
    ['get', '/v1/files/{file_id}/content', 206, 'content-range'],
    ['get', '/v1/files/{file_id}/content', 200, 'etag'],
    ['get', '/v1/files', 404, 'x-request-id'],
    ['post', '/v1/batches/{batch_id}/cancel', 415, 'x-request-id'],
    ['post', '/v1/uploads', 408, 'x-request-id'],
    ['get', '/v1/files/{file_id}', 401, 'www-authenticate'],
  ])('declares what comes: %s %s answers %i with %s', (method, path, status, header) => {
    expect(response(path, method, status).headers).toHaveProperty(header);
  });

  it('says once what many operations answer alike', () => {
    const written = Object.values(paths).flatMap((methods) =>
      Object.values(methods).flatMap(({ responses }) => Object.values(responses).map((each) => JSON.stringify(each))),
    );
    const whole = written.filter((text) => !text.includes('"#/components/responses/'));
    expect(new Set(whole).size).toBe(whole.length);
    const used = new Set(written.map((text) => /#\/components\/responses\/([A-Za-z0-9]+)/.exec(text)?.[1]));
    expect(Object.keys(components.responses).filter((name) => !used.has(name))).toEqual([]);
  });

  it('declares what may be asked for by headers, and the page for browsers', () => {
    const names = (path: string) => paths[path]!.get!.parameters!.map(({ name }) => name);
    expect(names('/v1/files/{file_id}/content')).toContain('range');
    expect(names('/v1/models')).toContain('x-millrace-deadline-ms');
    expect(Object.keys(response('/', 'get', 200).content)).toEqual(['application/json', 'text/html']);
  });
});
