import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import type { Told } from './exchange.ts';
import type { FuzzRequest } from './fuzz-requests.ts';
import type { OpenApiDocument, Schema } from './open-api.ts';

/**
 * What is promised from 500 on; everything else there is a fault. A deadline of a millisecond is over before a worker has
 * answered, and an answer may be asked to be longer than there is time for it.
 */
function isPromised({ headers, operation }: FuzzRequest, code: unknown): boolean {
  return code === 'deadline_exceeded' && ('x-millrace-deadline-ms' in headers || GENERATES.test(operation.path));
}

const GENERATES = /\/(chat|completions|responses|messages)$/;

/** What schemas that stand in an operation point into. */
const DOCUMENT = 'openapi';

/** Holds an answer to what the document says of it. */
export class Judge {
  readonly #ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: false, logger: false });
  readonly #validators = new Map<string, ValidateFunction>();

  constructor(document: OpenApiDocument) {
    this.#ajv.addSchema(document as object, DOCUMENT);
  }

  /** What is wrong with the answer; nothing, if all is well. */
  complaints(asked: FuzzRequest, told: Told): string[] {
    return [
      ...this.#ofAnswer(asked, told),
      ...(told.status < 400 ? this.#ofSuccess(asked, told) : this.#ofError(asked, told)),
    ];
  }

  #ofAnswer(request: FuzzRequest, { status, headers, text }: Told): string[] {
    const { operation } = request;
    const found: string[] = [];
    // What is OpenAI's alone is not there for whoever says that it speaks Anthropic's API: the document tells of the one at a path.
    const saysAnthropic = 'anthropic-version' in request.headers && operation.path.startsWith('/v1/');
    const astray = request.astray || (saysAnthropic && (status === 404 || isUnroutable(request.target)));
    if (headers['x-request-id'] === undefined) found.push('no x-request-id');
    if (/\bat [^\n]{1,200}:\d+:\d+\)?(\\n|\n|$)|node:internal|node_modules/.test(text)) found.push('a stack trace');
    if (!astray && operation.answers[status] === undefined && !UNDECLARED.has(status)) {
      found.push(`${status} is none of the declared answers`);
    }
    const declared = operation.answers[status]?.headers ?? headers;
    for (const name of Object.keys(headers)) {
      if (!astray && TELLING.test(name) && !(name in declared))
        found.push(`${name} is no declared header of a ${status}`);
    }
    return found;
  }

  #ofError(asked: FuzzRequest, told: Told): string[] {
    if (told.text === '' && asked.method === 'HEAD') return [];
    const body = parsed(told.text);
    if (body === undefined) return [`an error that is no JSON: ${told.text.slice(0, 200)}`];
    const promised = told.status === 504 && isPromised(asked, codeOf(body));
    return [
      ...(told.status < 500 || promised ? [] : [`a ${told.status} that nobody promised: ${told.text.slice(0, 300)}`]),
      ...errorShape(asked, body),
    ];
  }

  #ofSuccess(asked: FuzzRequest, told: Told): string[] {
    const { operation, astray, method } = asked;
    if (astray && method !== operation.method) return [];
    if (method === 'HEAD' || told.status === 204) return [];
    const mediaType = told.headers['content-type']?.split(';')[0] ?? '';
    const declared = operation.answers[told.status]?.content ?? {};
    if (!(mediaType in declared)) {
      // A part of a file has its own type, as the whole has.
      return astray || 'application/octet-stream' in declared
        ? []
        : [`${mediaType || 'no type'} is none of the declared types`];
    }
    const schema = declared[mediaType]?.schema;
    if (schema === undefined) return [];
    if (mediaType === 'text/event-stream') return this.#ofStream(asked, schema, told.text);
    return mediaType === 'application/json' ? this.#againstSchema(schema, parsed(told.text), 'the answer') : [];
  }

  #ofStream(asked: FuzzRequest, schema: Schema, text: string): string[] {
    const events = text.split('\n\n').filter((event) => event !== '' && !event.startsWith(':'));
    const data = events.map((event) => /^data: (.*)$/m.exec(event)?.[1] ?? '');
    const last = data.at(-1) ?? '';
    const isWhole = ENDINGS.some((ending) => ending.test(last)) || isFailure(parsed(last));
    return [
      ...(text.endsWith('\n\n') ? [] : ['a stream that breaks off in an event']),
      ...(isWhole ? [] : [`a stream without an end: ${last.slice(0, 200)}`]),
      ...data.flatMap((each, index) =>
        each === '[DONE]' && index === data.length - 1 ? [] : this.#ofEvent(asked, schema, each, index),
      ),
    ].slice(0, 5);
  }

  #ofEvent(asked: FuzzRequest, schema: Schema, text: string, index: number): string[] {
    const event = parsed(text);
    if (event === undefined) return [`an event that is no JSON: ${text.slice(0, 200)}`];
    if (!isFailure(event)) return this.#againstSchema(schema, event, `event ${index}`);
    const shape = errorShape(asked, event);
    return isPromised(asked, codeOf(event)) ? shape : [...shape, `a stream that failed: ${text.slice(0, 300)}`];
  }

  #againstSchema(schema: Schema, value: unknown, what: string): string[] {
    if (value === undefined) return [`${what} is no JSON`];
    const validate = this.#validator(schema);
    if (validate(value)) return [];
    const [error] = validate.errors!;
    return [`${what} is not valid: ${error!.instancePath || '/'} ${error!.message} (${error!.schemaPath})`];
  }

  #validator(schema: Schema): ValidateFunction {
    const text = JSON.stringify(schema);
    const known = this.#validators.get(text);
    if (known !== undefined) return known;
    const pointed = text.replaceAll('"$ref":"#/', `"$ref":"${DOCUMENT}#/`);
    const made = this.#ajv.compile(JSON.parse(pointed) as object);
    this.#validators.set(text, made);
    return made;
  }
}

/** What HTTP itself answers, whatever the request is for. */
const UNDECLARED: ReadonlySet<number> = new Set([414, 417, 431]);

/** Those of an answer that say something of this API: each is declared, with its status. */
const TELLING =
  /^(x-millrace-|x-ratelimit-|x-request-id|request-id|retry-after|x-should-retry|www-authenticate|etag|content-range)/;

/** How a stream says that it is whole. */
const ENDINGS = [
  /^\[DONE\]$/,
  /"type":"message_stop"/,
  /"type":"response\.(completed|incomplete|failed|cancelled)"/,
  // The plain API.
  /"(done|finish_reason)":/,
];

export function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Anthropic's errors have it among the details. */
function codeOf(body: unknown): unknown {
  const { error } = body as { error?: { code?: unknown; details?: { error_code?: unknown } } };
  return error?.code ?? error?.details?.error_code;
}

function isFailure(event: unknown): boolean {
  if (typeof event !== 'object' || event === null) return false;
  const { error, type } = event as { error?: unknown; type?: unknown };
  return type === 'error' || (typeof error === 'object' && error !== null && type === undefined);
}

/** Anthropic's clients read another one than OpenAI's: at its paths, and below `/v1` where they say who they are. */
/** Nobody knows what is asked for, so that whoever asks is answered in the words of which it says that they are its own. */
function isUnroutable(target: string): boolean {
  try {
    decodeURI(target);
    return false;
  } catch {
    return true;
  }
}

function errorShape({ operation, headers, astray }: FuzzRequest, body: unknown): string[] {
  const isMessages = operation.path.startsWith('/v1/messages');
  const mayBe = isMessages || (operation.path.startsWith('/v1/') && 'anthropic-version' in headers);
  if (!mayBe) return openAiShape(body);
  const complaints = anthropicShape(body);
  return complaints.length > 0 && (astray || !isMessages) ? openAiShape(body) : complaints;
}

function openAiShape(body: unknown): string[] {
  const { error } = body as { error?: Record<string, unknown> };
  const isError =
    error !== undefined &&
    Object.keys(body as object).join() === 'error' &&
    Object.keys(error).sort().join() === 'code,message,param,type' &&
    typeof error.message === 'string' &&
    error.message.length > 8 &&
    typeof error.type === 'string' &&
    typeof error.code === 'string' &&
    (error.param === null || typeof error.param === 'string');
  return isError ? [] : [`an error that is not of OpenAI's shape: ${JSON.stringify(body).slice(0, 300)}`];
}

function anthropicShape(body: unknown): string[] {
  const { type, error } = body as { type?: unknown; error?: { type?: unknown; message?: unknown } };
  const isError = type === 'error' && typeof error?.type === 'string' && typeof error.message === 'string';
  return isError ? [] : [`an error that is not of Anthropic's shape: ${JSON.stringify(body).slice(0, 300)}`];
}
