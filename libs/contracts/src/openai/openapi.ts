import * as z from 'zod';
import { anthropicErrorSchema } from '../anthropic/errors.js';
import { VERSION } from '../version.js';
import { CACHE_ASKS, CACHE_HEADER, CACHE_HEADER_TEXTS } from './cache-header.js';
import { DISPATCH_ASKS, DISPATCH_HEADER, DISPATCH_HEADER_TEXT } from './dispatch-header.js';
import { ADMIN_ENDPOINTS } from './endpoints/admin.js';
import { ANTHROPIC_ENDPOINTS } from './endpoints/anthropic.js';
import { BATCHES_ENDPOINTS } from './endpoints/batches.js';
import { type Endpoint, withErrors } from './endpoints/endpoint.js';
import { FILES_ENDPOINTS } from './endpoints/files.js';
import { GENERATION_ENDPOINTS } from './endpoints/generation.js';
import { ANSWER_HEADERS, DEADLINE_ASKED, headersAt, RANGE_ASKED } from './endpoints/headers.js';
import { MODELS_ENDPOINTS } from './endpoints/models.js';
import { MODERATIONS_ENDPOINTS } from './endpoints/moderations.js';
import { RESPONSES_ENDPOINTS } from './endpoints/responses.js';
import { RESPONSES_STATE_ENDPOINTS } from './endpoints/responses-state.js';
import { SERVICE_ENDPOINTS } from './endpoints/service.js';
import { STORED_CHATS_ENDPOINTS } from './endpoints/stored-chats.js';
import { TOKENS_ENDPOINTS } from './endpoints/tokens.js';
import { VECTOR_STORES_ENDPOINTS } from './endpoints/vector-stores.js';
import { VECTORS_ENDPOINTS } from './endpoints/vectors.js';
import { usage } from './fields.js';
import { inputItemSchema, outputItemSchema, responseItemSchema } from './response-items.js';

/** Everything the gateway serves; the document below is made from it and from the schemas that validate. */
const ENDPOINTS: readonly Endpoint[] = [
  ...GENERATION_ENDPOINTS,
  ...ANTHROPIC_ENDPOINTS,
  ...STORED_CHATS_ENDPOINTS,
  ...MODERATIONS_ENDPOINTS,
  ...RESPONSES_ENDPOINTS,
  ...RESPONSES_STATE_ENDPOINTS,
  ...VECTORS_ENDPOINTS,
  ...VECTOR_STORES_ENDPOINTS,
  ...TOKENS_ENDPOINTS,
  ...MODELS_ENDPOINTS,
  ...FILES_ENDPOINTS,
  ...BATCHES_ENDPOINTS,
  ...ADMIN_ENDPOINTS,
  ...SERVICE_ENDPOINTS,
];

/** The OpenAPI 3.1 document: pure, so that a test can compare it with the committed file. */
export function openApiDocument(): Record<string, unknown> {
  const paths: Record<string, Record<string, Operation>> = {};
  const ids = new Set<string>();
  for (const endpoint of ENDPOINTS) {
    const id = operationId(endpoint);
    // Generated clients name their functions by it: of two of one name they would have one.
    if (ids.has(id))
      throw new Error(`${endpoint.method} ${endpoint.path} is ${id}, as another is: give it an operationId.`);
    ids.add(id);
    paths[endpoint.path] = { ...paths[endpoint.path], [endpoint.method]: operation(endpoint) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Millrace',
      version: VERSION,
      description: 'Large language models on your own machines, behind the OpenAI API.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    security: [{}, { bearer: [] }, { header: [] }],
    tags: [...new Set(ENDPOINTS.map(({ tag }) => tag))].map((name) => ({ name })),
    paths,
    components: {
      schemas: componentSchemas(),
      responses: shareResponses(Object.values(paths).flatMap((methods) => Object.values(methods))),
      headers: ANSWER_HEADERS,
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'An API key.' },
        header: { type: 'apiKey', in: 'header', name: 'x-api-key', description: 'An API key.' },
        admin: { type: 'http', scheme: 'bearer', description: 'The key of the admin API.' },
      },
    },
  };
}

interface Operation {
  readonly responses: Record<string, object>;
  readonly [key: string]: unknown;
}

/**
 * What several operations answer alike stands once, and they point to it: written out at each, errors were three quarters of the document.
 *
 * @param operations whose responses become pointers.
 * @returns those that are pointed to, by name.
 */
function shareResponses(operations: readonly Operation[]): Record<string, object> {
  const all = operations.flatMap(({ responses }) =>
    Object.entries(responses).map(([status, response]) => ({
      responses,
      status,
      response,
      text: JSON.stringify(response),
    })),
  );
  const shared: Record<string, object> = {};
  const names = new Map<string, string>();
  for (const { responses, status, response, text } of all) {
    if (all.filter((other) => other.text === text).length === 1) continue;
    const name = names.get(text) ?? freeName(`${Number(status) < 400 ? 'Answer' : 'Error'}${status}`, shared);
    names.set(text, name);
    shared[name] = response;
    responses[status] = { $ref: `#/components/responses/${name}` };
  }
  return shared;
}

/** `Error400`, and where it is taken by others of that status `Error400B`. */
function freeName(name: string, taken: Readonly<Record<string, unknown>>): string {
  const names = ['', ...'BCDEFGHIJKLMNOPQRSTUVWXYZ'].map((letter) => name + letter);
  const free = names.find((one) => taken[one] === undefined);
  if (free === undefined) throw new Error(`More than ${names.length} different responses share the name ${name}.`);
  return free;
}

function operation(endpoint: Endpoint): Operation {
  return {
    tags: [endpoint.tag],
    summary: endpoint.summary,
    operationId: operationId(endpoint),
    ...parametersOf(endpoint),
    ...(endpoint.admin && { security: [{ admin: [] }] }),
    ...(endpoint.body && {
      requestBody: {
        required: endpoint.bodyIsOptional !== true,
        content: {
          [endpoint.isForm ? 'multipart/form-data' : 'application/json']: { schema: reference(endpoint.body) },
        },
      },
    }),
    responses: Object.fromEntries(
      Object.entries(answersOf(endpoint)).map(([status, { description, schema }]) => [
        status,
        {
          description,
          headers: headersOf(endpoint, Number(status)),
          content: content(endpoint, Number(status), schema),
        },
      ]),
    ),
  };
}

/** With the errors that come from whatever is asked for by a key, or with a body: before anybody looks at what it is for. */
function answersOf(endpoint: Endpoint): Endpoint['answers'] {
  if (endpoint.tag === 'Service') return endpoint.answers;
  const withBody = endpoint.method === 'get' ? [] : [408, 413, 415];
  const errors = withErrors({}, [400, 401, ...withBody, 429, 500, 503], endpoint.answers[401]?.schema);
  return { ...errors, ...endpoint.answers };
}

function headersOf(endpoint: Endpoint, status: number): Record<string, unknown> {
  return Object.fromEntries(
    headersAt(endpoint, status).map((name) => [name, { $ref: `#/components/headers/${name}` }]),
  );
}

const CACHE_ASKED = {
  name: CACHE_HEADER,
  in: 'header',
  required: false,
  description: CACHE_HEADER_TEXTS.asked,
  schema: { type: 'string', enum: CACHE_ASKS },
};
const DISPATCH_ASKED = {
  name: DISPATCH_HEADER,
  in: 'header',
  required: false,
  description: DISPATCH_HEADER_TEXT,
  schema: { type: 'string', enum: DISPATCH_ASKS },
};

const ANTHROPIC_VERSION = {
  name: 'anthropic-version',
  in: 'header',
  required: false,
  description: 'Any value: the answer then has Anthropic’s shape, and the parameters of the query are read.',
  schema: { type: 'string' },
};

function parametersOf(endpoint: Endpoint): Record<string, unknown> {
  const { pathParameter, pathParameters, toAnthropic, query = toAnthropic?.query, cached } = endpoint;
  const inPath = pathParameters ?? (pathParameter ? [pathParameter] : []);
  const path = inPath.map((one) => ({ ...one, in: 'path', required: true, schema: { type: 'string' } }));
  // Without its name, or the properties would stand behind a pointer.
  const { properties = {}, required = [] } = query
    ? z.toJSONSchema(z.object(query.shape), { io: 'input', unrepresentable: 'any' })
    : {};
  const inQuery = Object.entries(properties).map(([name, schema]) => ({
    name,
    in: 'query',
    required: required.includes(name),
    ...(isObject(schema) && { style: 'deepObject', explode: true }), // `metadata[key]=value`
    schema,
  }));
  const parameters = [
    ...path,
    ...inQuery,
    ...(cached ? [CACHE_ASKED, DISPATCH_ASKED] : []),
    ...(toAnthropic ? [ANTHROPIC_VERSION] : []),
    ...(endpoint.tag === 'Service' ? [] : [DEADLINE_ASKED]),
    ...(endpoint.answers[206] === undefined ? [] : [RANGE_ASKED]),
  ];
  return parameters.length === 0 ? {} : { parameters };
}

function isObject(schema: unknown): boolean {
  const { type, anyOf = [] } = schema as { readonly type?: string; readonly anyOf?: readonly unknown[] };
  return type === 'object' || anyOf.some(isObject);
}

function content(endpoint: Endpoint, status: number, schema: z.ZodType | undefined) {
  if (schema === undefined) return { [endpoint.text ?? 'text/plain']: { schema: { type: 'string' } } };
  const { toAnthropic } = endpoint;
  const theirs = toAnthropic && (status === 200 ? toAnthropic.answer : anthropicErrorSchema);
  const ours = reference(schema);
  const json = { 'application/json': { schema: theirs ? { anyOf: [ours, reference(theirs)] } : ours } };
  if (status === 200 && endpoint.text !== undefined)
    return { ...json, [endpoint.text]: { schema: { type: 'string' } } };
  if (status !== 200 || endpoint.streamed === undefined) return json;
  // A streamed answer is a sequence of such chunks, each behind `data: `, and `data: [DONE]` at the end.
  return { ...json, 'text/event-stream': { schema: reference(endpoint.streamed) } };
}

/** They stand in others many times. */
const RESPONSE_ITEMS = [inputItemSchema, outputItemSchema, responseItemSchema];

/** The schemas of all endpoints as JSON Schema, by name; those that have a name and stand inside another are pointers. */
function componentSchemas(): Record<string, unknown> {
  const registry = z.registry<{ id: string }>();
  const schemas = ENDPOINTS.flatMap(({ body, streamed, answers, toAnthropic }) => [
    body,
    streamed,
    toAnthropic?.answer,
    ...Object.values(answers).map(({ schema }) => schema),
  ]);
  for (const schema of [...schemas, usage, ...RESPONSE_ITEMS]) {
    if (schema !== undefined && !registry.has(schema)) registry.add(schema, { id: nameOf(schema) });
  }
  const { schemas: byName } = z.toJSONSchema(registry, { io: 'input', uri: pointer, unrepresentable: 'any' });
  const { [SHARED]: shared, ...named } = byName;
  const sorted = Object.entries({ ...(shared?.$defs as typeof byName | undefined), ...named })
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, { $schema: _, $id: __, id: ___, ...schema }]) => [name, schema]);
  // They are pointed to as parts of a document of their own, which there is none of in here.
  const text = JSON.stringify(Object.fromEntries(sorted)).replaceAll(`${pointer(SHARED)}#/$defs/`, pointer(''));
  return JSON.parse(text) as Record<string, unknown>;
}

/** Where zod puts schemas that have a name and stand inside others only. */
const SHARED = '__shared';

function reference(schema: z.ZodType): Record<string, unknown> {
  return { $ref: pointer(nameOf(schema)) };
}

function pointer(name: string): string {
  return `#/components/schemas/${name}`;
}

function nameOf(schema: z.ZodType): string {
  const id = schema.meta()?.id;
  if (id === undefined) throw new Error('Every schema of an endpoint needs a name: .meta({ id }).');
  return id;
}

function operationId({ method, path, operationId: own }: Endpoint): string {
  if (own !== undefined) return own;
  const words = path.split(/[^A-Za-z0-9]+/).filter((word) => word !== '' && word !== 'v1');
  return [
    method,
    ...(words.length === 0 ? ['root'] : words).map((word) => word[0]!.toUpperCase() + word.slice(1)),
  ].join('');
}
