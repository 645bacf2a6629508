import type { ChatAnnotation, Citation, CitationSource, Prompt } from '@millrace/contracts';
import type { ChatPrompt } from '../vocabulary.js';

type Fields = Readonly<Record<string, unknown>>;

/** A document may be large as a whole, and each of its annotations repeats these. */
const TITLE_LENGTH_MAX = 500;
const ID_LENGTH_MAX = 500;
const URL_LENGTH_MAX = 2_048;

/**
 * Citations as OpenAI tells of them: one annotation for each source of a passage. It knows web pages only; what has no
 * address gets one that names it, `document:3` or `tool:call_x#0`.
 */
export function annotationsOf(citations: readonly Citation[], prompt: Prompt): ChatAnnotation[] {
  if (prompt.kind !== 'chat' || citations.length === 0) return [];
  const toolNames = toolNamesOf(prompt);
  const namesOf = (source: CitationSource): Names => {
    if (source.kind === 'document') return documentNames(source.document, prompt.documents?.[source.document] ?? {});
    const { callId, result } = source;
    return { title: toolNames.get(callId) ?? callId, url: `tool:${callId}#${result}` };
  };
  return citations.flatMap(({ start, end, sources }) =>
    sources.map((source) => ({
      type: 'url_citation' as const,
      url_citation: { start_index: start, end_index: end, ...namesOf(source) },
    })),
  );
}

interface Names {
  readonly title: string;
  readonly url: string;
}

function documentNames(index: number, document: Fields): Names {
  // Cohere's own API has a document's fields in `data`.
  const fields = { ...fieldsOf(document.data), ...document };
  const id = textOf(fields.id);
  const url = textOf(fields.url);
  return {
    title: shortened(textOf(fields.title) ?? id ?? `Document ${index}`, TITLE_LENGTH_MAX),
    // An address that is cut leads nowhere.
    url:
      url !== undefined && url.length <= URL_LENGTH_MAX
        ? url
        : `document:${shortened(id ?? `${index}`, ID_LENGTH_MAX)}`,
  };
}

/** The names of the functions that were called, by the ids of their calls. */
function toolNamesOf({ messages }: ChatPrompt): ReadonlyMap<unknown, string> {
  const names = new Map<unknown, string>();
  for (const { tool_calls: calls } of messages) {
    for (const call of Array.isArray(calls) ? (calls as readonly Fields[]) : []) {
      const name = textOf(fieldsOf(call.function).name);
      if (name !== undefined) names.set(call.id, name);
    }
  }
  return names;
}

function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {};
}

/** Documents are JSON of the caller's own: only texts and numbers can name one. */
function textOf(value: unknown): string | undefined {
  if (typeof value === 'number') return String(value);
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function shortened(text: string, lengthMax: number): string {
  return text.length <= lengthMax ? text : text.slice(0, lengthMax).toWellFormed();
}
