import type * as z from 'zod';
import { ERROR_CATALOG } from '../../errors/inference-error.js';
import { errorSchema } from '../service.js';

export interface PathParameter {
  readonly name: string;
  readonly description: string;
}

export interface Endpoint {
  readonly method: 'get' | 'post' | 'delete';
  readonly path: string;
  readonly tag: string;
  /** Where what follows from method and path is another's already. */
  readonly operationId?: string;
  readonly summary: string;
  readonly body?: z.ZodType;
  /** The body is a form with a file in it. */
  readonly isForm?: true;
  readonly answers: Readonly<Record<number, { readonly description: string; readonly schema?: z.ZodType }>>;
  /** The chunks of the answer when it is streamed. */
  readonly streamed?: z.ZodType;
  /** The type of an answer that is no JSON; where there is a schema, the other form that it may have. */
  readonly text?: string;
  readonly pathParameter?: PathParameter;
  /** Several of them. */
  readonly pathParameters?: readonly PathParameter[];
  /** Parameters of the query. */
  readonly query?: z.ZodObject;
  /** What it answers, and reads of the query, where the header `anthropic-version` asks for Anthropic's shape. */
  readonly toAnthropic?: { readonly answer: z.ZodType; readonly query?: z.ZodObject };
  /** The body may be left out. */
  readonly bodyIsOptional?: true;
  /** Only the admin key opens it. */
  readonly admin?: true;
  /** Its answers are kept. */
  readonly cached?: true;
}

/** Of what a worker is asked for. */
export const WORK_ERRORS = [400, 401, 403, 404, 413, 415, 429, 500, 502, 503, 504];
/** Of what is kept for a key. */
export const STORE_ERRORS = [401, 429, 503];

/** The answers of an endpoint, and with them its errors. @param schema their shape, where it is not OpenAI's. */
export function withErrors(
  answers: Endpoint['answers'],
  statuses: readonly number[],
  schema: z.ZodType = errorSchema,
): Endpoint['answers'] {
  const errors = statuses.map((status) => {
    const codes = Object.entries(ERROR_CATALOG)
      .filter(([, error]) => error.status === status)
      .map(([code]) => `\`${code}\``);
    return [
      status,
      { description: `Whichever comes here of the codes of this status: ${codes.join(', ')}.`, schema },
    ] as const;
  });
  return { ...answers, ...Object.fromEntries(errors) };
}
