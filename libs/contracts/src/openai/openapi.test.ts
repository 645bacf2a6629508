import { describe, expect, it } from 'vitest';
import { openApiDocument } from './openapi.js';

interface Written {
  readonly operationId: string;
  readonly parameters?: readonly { readonly name: string }[];
  readonly responses: Readonly<Record<string, { readonly headers: object; readonly content: object }>>;
}

const { paths } = openApiDocument() as { paths: Readonly<Record<string, Readonly<Record<string, Written>>>> };

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
    expect(paths[path]![method]!.responses[status]!.headers).toHaveProperty(header);
  });

  it('declares what may be asked for by headers, and the page for browsers', () => {
    const names = (path: string) => paths[path]!.get!.parameters!.map(({ name }) => name);
    expect(names('/v1/files/{file_id}/content')).toContain('range');
    expect(names('/v1/models')).toContain('x-millrace-deadline-ms');
    expect(Object.keys(paths['/']!.get!.responses[200]!.content)).toEqual(['application/json', 'text/html']);
  });
});
