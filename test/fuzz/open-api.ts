import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';

/** A JSON Schema as the document has them: 2020-12, of which only the keywords that zod writes are read here. */
export interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: Schema | boolean;
  readonly propertyNames?: Schema;
  readonly items?: Schema;
  readonly prefixItems?: readonly Schema[];
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly format?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
}

interface Content {
  readonly [mediaType: string]: { readonly schema?: Schema };
}

interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'query' | 'header';
  readonly required?: boolean;
  readonly schema: Schema;
}

interface Answer {
  readonly headers?: object;
  readonly content?: Content;
}

interface WrittenOperation {
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly required?: boolean; readonly content: Content };
  readonly responses: Readonly<Record<string, Answer | { readonly $ref: string }>>;
  readonly security?: readonly Readonly<Record<string, unknown>>[];
}

export interface OpenApiDocument {
  readonly paths: Readonly<Record<string, Readonly<Record<string, WrittenOperation>>>>;
  readonly components: unknown;
}

export interface Operation {
  /** `post /v1/chat/completions`. */
  readonly name: string;
  readonly method: string;
  /** With its parameters: `/v1/files/{file_id}`. */
  readonly path: string;
  readonly parameters: readonly Parameter[];
  readonly body: { readonly schema: Schema; readonly isForm: boolean } | undefined;
  /** By status, then by media type. */
  readonly answers: Readonly<Record<string, Answer>>;
  readonly admin: boolean;
}

export const OPENAPI_FILE = resolve(import.meta.dirname, '../../libs/contracts/openapi/openapi.json');

export function readOpenApi(file = OPENAPI_FILE): OpenApiDocument {
  return JSON.parse(readFileSync(file, 'utf8')) as OpenApiDocument;
}

export function operationsOf(document: OpenApiDocument): Operation[] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, written]) => ({
      name: `${method} ${path}`,
      method: method.toUpperCase(),
      path,
      parameters: written.parameters ?? [],
      body: bodyOf(written),
      answers: answersOf(document, written),
      admin: written.security?.some((way) => 'admin' in way) ?? false,
    })),
  );
}

function answersOf(document: OpenApiDocument, { responses }: WrittenOperation): Operation['answers'] {
  return Object.fromEntries(
    Object.entries(responses).map(([status, answer]) => [
      status,
      '$ref' in answer ? (resolvePointer(document, answer.$ref) as Answer) : answer,
    ]),
  );
}

function bodyOf({ requestBody }: WrittenOperation): Operation['body'] {
  const [written] = Object.entries(requestBody?.content ?? {});
  if (written === undefined) return undefined;
  const [mediaType, { schema = {} }] = written;
  return { schema, isForm: mediaType === 'multipart/form-data' };
}

/** What `#/components/schemas/Error` points to. */
export function resolvePointer(document: OpenApiDocument, pointer: string): Schema {
  let found: unknown = document;
  for (const key of pointer.replace(/^#\//, '').split('/')) {
    found = (found as Record<string, unknown> | undefined)?.[key.replaceAll('~1', '/').replaceAll('~0', '~')];
  }
  if (found === undefined) throw new Error(`The document points to ${pointer}, where there is nothing.`);
  return found as Schema;
}
