import {
  type ChatRequestBody,
  type FileSearchResult,
  InferenceError,
  type ResponseRequestBody,
  type ResponseTool,
} from '@millrace/contracts';
import { parseAttributeFilter } from './parse-attribute-filter.js';

export type FileSearchTool = Extract<ResponseTool, { type: 'file_search' }>;

/** What the model calls to search. */
export const FILE_SEARCH_FUNCTION = 'file_search';

/** As many as one search may have, and no more of each than a question is long. */
const QUERIES_MAX = 4;
const QUERY_LENGTH_MAX = 300;

/** The tool as a model that can call functions knows it. */
export const FILE_SEARCH: NonNullable<ChatRequestBody['tools']>[number] = {
  type: 'function',
  function: {
    name: FILE_SEARCH_FUNCTION,
    description:
      'Searches the files of the user by meaning, and returns the passages that are nearest to the queries. Use it before answering what the files may say something about.',
    parameters: {
      type: 'object',
      properties: {
        queries: {
          type: 'array',
          items: { type: 'string', minLength: 1, maxLength: QUERY_LENGTH_MAX },
          minItems: 1,
          maxItems: QUERIES_MAX,
        },
      },
      required: ['queries'],
      additionalProperties: false,
    },
  },
};

/**
 * The tool of a request that searches files, and where it stands.
 *
 * @throws InferenceError where there are several, or its filters are none.
 */
export function fileSearchOf(
  tools: ResponseRequestBody['tools'],
): { readonly tool: FileSearchTool; readonly place: string } | undefined {
  const places = (tools ?? []).flatMap((tool, index) => (tool.type === 'file_search' ? [{ tool, index }] : []));
  const [first, second] = places;
  if (first === undefined) return undefined;
  if (second !== undefined) {
    throw new InferenceError(
      'invalid_request',
      `\`tools[${second.index}]\` is a file_search, as \`tools[${first.index}]\` is. Name all vector stores in one.`,
      { param: `tools[${second.index}]` },
    );
  }
  const place = `tools[${first.index}]`;
  if (first.tool.filters != null) parseAttributeFilter(first.tool.filters, `${place}.filters`);
  return { tool: first.tool, place };
}

/** What a model wrote to be searched for; nothing where it wrote something else. */
export function queriesIn(text: string): string[] {
  let written: unknown;
  try {
    written = JSON.parse(text);
  } catch {
    return [];
  }
  const { queries } = (written ?? {}) as { readonly queries?: unknown };
  return (Array.isArray(queries) ? queries : [])
    .filter((query) => typeof query === 'string' && query.trim() !== '')
    .slice(0, QUERIES_MAX)
    .map((query: string) => query.slice(0, QUERY_LENGTH_MAX).toWellFormed().replaceAll('\0', ' '));
}

/** Results as the model reads them. */
export function resultsText(results: readonly FileSearchResult[]): string {
  return JSON.stringify(results.map(({ file_id, filename, text }) => ({ file_id, filename, text })));
}
