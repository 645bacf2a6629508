import type { CitationSource, OutputFormat } from '@millrace/contracts';
import type { ChatPrompt } from '../chat-model.js';
import { BY_CALL } from './citation-marks.js';
import type { Form } from './forms.js';
import type { CitationPlan } from './reading-plan.js';

/** What the numbers in an answer's citations mean; undefined where there is nothing to cite. */
export function planCitations(
  form: Form,
  prompt: ChatPrompt,
  rendered: string,
  format: OutputFormat | undefined,
): CitationPlan | undefined {
  if (form.citations === undefined) return undefined;
  const documents = (prompt.documents ?? []).map((_, document): CitationSource => ({ kind: 'document', document }));
  const sources = form.citations === BY_CALL ? byCall(documents, prompt) : listed(documents, prompt);
  if (sources.length === 0) return undefined;
  // A prompt that asks for the headings says so in its last turn. What obeys a format has none.
  const headings = documents.length > 0 && format === undefined && rendered.includes('Grounded answer:');
  return { headings, sources };
}

/** Documents are numbered as they were given; without any, results of tools as they came. */
function listed(documents: readonly CitationSource[], { messages }: ChatPrompt): CitationSource[][] {
  if (documents.length > 0) return documents.map((document) => [document]);
  return messages
    .filter(({ role }) => role === 'tool')
    .map(({ tool_call_id: callId }) => [{ kind: 'toolResult', callId: String(callId), result: 0 }]);
}

/**
 * Calls are numbered as they stand in the messages. Documents are shown to the model as the results of call 0, which
 * nobody made; they take the place of a real call of that number.
 */
function byCall(documents: readonly CitationSource[], { messages }: ChatPrompt): CitationSource[][] {
  const results = new Map<string, number>();
  for (const { role, tool_call_id: callId } of messages) {
    if (role === 'tool') results.set(String(callId), (results.get(String(callId)) ?? 0) + 1);
  }
  const calls = messages
    .flatMap(({ tool_calls: made }) => (Array.isArray(made) ? (made as { id?: unknown }[]) : []))
    .map(({ id }) => resultsOf(String(id), results.get(String(id)) ?? 0));
  return documents.length === 0 ? calls : [[...documents], ...calls.slice(1)];
}

function resultsOf(callId: string, count: number): CitationSource[] {
  return Array.from({ length: count }, (_, result) => ({ kind: 'toolResult', callId, result }));
}
