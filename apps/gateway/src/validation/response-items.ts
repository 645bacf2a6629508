import {
  type FileSearchResult,
  InferenceError,
  type InputItem,
  type OutputTextPart,
  type ResponseAnnotation,
  type ResponseItem,
  type ResponseLogprob,
} from '@millrace/contracts';
import { randomHex } from '@millrace/runtime';
import { show } from './show-value.js';

/** An item in its complete form, and where it stands in the request; without a place it is from before. */
export interface PlacedItem {
  readonly item: ResponseItem;
  readonly place?: string | undefined;
}

type Sent<Type extends InputItem['type']> = Extract<InputItem, { type: Type }>;
type SentMessage = Extract<InputItem, { role: string }>;
type SentAnswer = Extract<InputItem, { role: 'assistant' }>;
type SentContent = SentMessage['content'] | Sent<'function_call_output'>['output'];
type SentPart = Exclude<SentContent, string>[number];

const ID_BYTES = 24;

/** As OpenAI begins the ids of items, each kind in its own way. */
export function newItemId(beginning: 'msg' | 'fc' | 'fco' | 'rs' | 'fs'): string {
  return `${beginning}_${randomHex(ID_BYTES)}`;
}

/** The ids that `item_reference` names, each once. */
export function referencesIn(input: string | readonly InputItem[] | null | undefined): readonly string[] {
  if (input == null || typeof input === 'string') return [];
  return [...new Set(input.flatMap((item) => (item.type === 'item_reference' ? [item.id] : [])))];
}

/**
 * OpenAI's reference to an item may come without its type, by which it would be told from others.
 *
 * @param name of the field of `body` that has items.
 */
export function withTypes(body: unknown, name: 'input' | 'items'): unknown {
  const items = (body as Readonly<Record<string, unknown>> | null | undefined)?.[name];
  if (!Array.isArray(items) || !items.some(isBareReference)) return body;
  return {
    ...(body as object),
    [name]: items.map((item: unknown) => (isBareReference(item) ? { ...item, type: 'item_reference' } : item)),
  };
}

function isBareReference(item: unknown): item is { readonly id: string } {
  if (typeof item !== 'object' || item === null || Array.isArray(item)) return false;
  const { id, type, role } = item as { readonly id?: unknown; readonly type?: unknown; readonly role?: unknown };
  return typeof id === 'string' && type == null && role === undefined;
}

/**
 * The input in its complete form, each item with an id.
 *
 * @param known what was found of the items that it refers to, by id.
 * @param name of the field that it stands in.
 * @throws InferenceError a 400 that names an item or a part that can't be read here.
 */
export function completeItems(
  input: string | readonly InputItem[] | null | undefined,
  known: ReadonlyMap<string, ResponseItem>,
  name: 'input' | 'items' = 'input',
): readonly PlacedItem[] {
  if (input == null) return [];
  if (typeof input === 'string') return [{ item: completeMessage({ role: 'user', content: input }, 'input') }];
  return input.map((item, index) => {
    const place = `${name}[${index}]`;
    return { item: completeItem(item, place, known), place };
  });
}

function completeItem(item: InputItem, place: string, known: ReadonlyMap<string, ResponseItem>): ResponseItem {
  switch (item.type) {
    case undefined:
    case 'message':
      return completeMessage(item, place);
    case 'function_call': {
      const { id, type, call_id, name, arguments: text, status } = item;
      return { id: id ?? newItemId('fc'), type, call_id, name, arguments: text, status: status ?? 'completed' };
    }
    case 'function_call_output': {
      const { id, type, call_id, output, status } = item;
      const told = typeof output === 'string' ? output : textParts(output, `${place}.output`).map(asked);
      return { id: id ?? newItemId('fco'), type, call_id, output: told, status: status ?? 'completed' };
    }
    case 'reasoning': {
      const { id, type, summary, content, encrypted_content, status } = item;
      return {
        id: id ?? newItemId('rs'),
        type,
        summary: summary ?? [],
        content: content ?? [],
        ...(encrypted_content != null && { encrypted_content }),
        status: status ?? 'completed',
      };
    }
    case 'file_search_call': {
      const { id, type, queries, results, status } = item;
      const told = results?.map(completeResult) ?? null;
      return { id: id ?? newItemId('fs'), type, status: status ?? 'completed', queries, results: told };
    }
    case 'item_reference':
      return known.get(item.id) ?? refuseReference(item.id, place);
  }
}

type SentResult = NonNullable<Sent<'file_search_call'>['results']>[number];

function completeResult({ file_id, filename, score, text, attributes }: SentResult): FileSearchResult {
  return {
    file_id: file_id ?? '',
    filename: filename ?? '',
    score: score ?? 0,
    text: text ?? '',
    attributes: attributes ?? {},
  };
}

function completeMessage(
  message: Pick<SentMessage, 'role' | 'content' | 'id' | 'status'> & Pick<SentAnswer, 'phase'>,
  place: string,
): ResponseItem {
  const { role, content, status } = message;
  const head = { id: message.id ?? newItemId('msg'), type: 'message', status: status ?? 'completed' } as const;
  const parts = textParts(content, `${place}.content`);
  if (role !== 'assistant') return { ...head, role, content: parts.map(asked) };
  return {
    ...head,
    role,
    content: parts.map((part) =>
      part.type === 'refusal' ? { type: 'refusal', refusal: part.refusal } : completeText(part),
    ),
    ...(message.phase != null && { phase: message.phase }),
  };
}

type SentText = Extract<SentPart, { type: 'output_text' }>;

function completeText(part: SentText | Extract<SentPart, { type: 'input_text' }>): OutputTextPart {
  const { annotations, logprobs } = part.type === 'output_text' ? part : {};
  return {
    type: 'output_text',
    text: part.text,
    annotations: annotations?.map(completeAnnotation) ?? [],
    logprobs: logprobs?.map(completeLogprob) ?? [],
  };
}

function completeAnnotation(sent: NonNullable<SentText['annotations']>[number]): ResponseAnnotation {
  switch (sent.type) {
    case 'file_citation':
    case 'container_file_citation':
      return { ...sent, filename: sent.filename ?? '' };
    case 'url_citation':
      return { ...sent, title: sent.title ?? '' };
    case 'file_path':
      return sent;
  }
}

function completeLogprob(sent: NonNullable<SentText['logprobs']>[number]): ResponseLogprob {
  const { token, logprob, bytes, top_logprobs } = sent;
  const top = top_logprobs?.map((one) => ({ ...one, bytes: one.bytes ?? [] })) ?? [];
  return { token, logprob, bytes: bytes ?? [], top_logprobs: top };
}

type TextPart = Extract<SentPart, { type: 'input_text' | 'output_text' | 'refusal' }>;

function textParts(content: SentContent, param: string): readonly TextPart[] {
  if (typeof content === 'string') return [{ type: 'input_text', text: content }];
  return content.map((part, index) => {
    if (part.type === 'input_text' || part.type === 'output_text' || part.type === 'refusal') return part as TextPart;
    throw new InferenceError(
      'unsupported_parameter',
      `\`${param}[${index}]\` is of type ${part.type}; only text is read here. Send parts of type input_text.`,
      { param: `${param}[${index}]` },
    );
  });
}

function asked(part: TextPart): { type: 'input_text'; text: string } {
  return { type: 'input_text', text: part.type === 'refusal' ? part.refusal : part.text };
}

function refuseReference(id: string, place: string): never {
  throw new InferenceError(
    'invalid_request',
    `\`${place}.id\` is ${show(id)}, and no item of that id is kept for you: it never was, or it was deleted, has expired, or is of a response with \`store\`: false. Send the item itself.`,
    { param: `${place}.id` },
  );
}
