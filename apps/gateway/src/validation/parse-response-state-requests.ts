import {
  CHANGE_CONVERSATION_PARAMETERS,
  CREATE_CONVERSATION_ITEMS_PARAMETERS,
  CREATE_CONVERSATION_PARAMETERS,
  changeConversationSchema,
  createConversationItemsSchema,
  createConversationSchema,
  INCLUDE_PARAMETERS,
  type Include,
  InferenceError,
  type InputItem,
  includeQuerySchema,
  LIST_INPUT_ITEMS_PARAMETERS,
  type ListItemsQuery,
  listInputItemsSchema,
  RETRIEVE_RESPONSE_PARAMETERS,
  retrieveResponseSchema,
} from '@millrace/contracts';
import { checkBody } from './check-body.js';
import { withTypes } from './response-items.js';

/** The bodies and queries of what is kept of responses, and of /v1/conversations. @throws InferenceError a 400 that names the field. */

export interface AskedResponse {
  readonly stream: boolean;
  /** Undefined: from the first event on. */
  readonly startingAfter: number | undefined;
  readonly include: readonly Include[];
}

export interface AskedItems extends Omit<ListItemsQuery, 'include'> {
  readonly include: readonly Include[];
}

export interface AskedConversation {
  readonly metadata: Readonly<Record<string, string>>;
  readonly items: readonly InputItem[];
}

export function parseRetrieveResponse(query: unknown): AskedResponse {
  const asked = checkBody(plain(query), RETRIEVE_RESPONSE_PARAMETERS, retrieveResponseSchema);
  const stream = asked.stream === 'true';
  if (asked.starting_after !== undefined && !stream) {
    throw new InferenceError(
      'invalid_request',
      '`starting_after` says behind which event a stream goes on; without `stream=true` there are no events. Add it, or leave this out.',
      { param: 'starting_after' },
    );
  }
  return { stream, startingAfter: asked.starting_after, include: listed(asked.include) };
}

export function parseListItems(query: unknown): AskedItems {
  const asked = checkBody(plain(query), LIST_INPUT_ITEMS_PARAMETERS, listInputItemsSchema);
  return { ...asked, include: listed(asked.include) };
}

export function parseInclude(query: unknown): readonly Include[] {
  return listed(checkBody(plain(query), INCLUDE_PARAMETERS, includeQuerySchema).include);
}

function listed(include: ListItemsQuery['include']): readonly Include[] {
  return typeof include === 'string' ? [include] : (include ?? []);
}

export function parseCreateConversation(body: unknown): AskedConversation {
  const { metadata, items } = checkBody(
    withTypes(body ?? {}, 'items'),
    CREATE_CONVERSATION_PARAMETERS,
    createConversationSchema,
  );
  return { metadata: metadata ?? {}, items: items ?? [] };
}

/** All of it is replaced; null: by nothing. */
export function parseChangeConversation(body: unknown): Readonly<Record<string, string>> {
  const { metadata } = checkBody(body, CHANGE_CONVERSATION_PARAMETERS, changeConversationSchema);
  if (metadata !== undefined) return metadata ?? {};
  throw new InferenceError('invalid_request', '`metadata` is required; it must be an object or null.', {
    param: 'metadata',
  });
}

export function parseCreateItems(body: unknown): readonly InputItem[] {
  return checkBody(withTypes(body, 'items'), CREATE_CONVERSATION_ITEMS_PARAMETERS, createConversationItemsSchema).items;
}

/** OpenAI's clients write a list as `include[]`, once for each. */
function plain(query: unknown): unknown {
  if (typeof query !== 'object' || query === null || !Object.hasOwn(query, 'include[]')) return query ?? {};
  const { 'include[]': include, ...rest } = query as Readonly<Record<string, unknown>>;
  return { ...rest, include };
}
