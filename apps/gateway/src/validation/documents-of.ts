import { type ChatPromptBody, documentsSchema, InferenceError } from '@millrace/contracts';
import type { ChatPrompt } from '../vocabulary.js';
import { checkShape } from './check-shape.js';

type Body = Pick<ChatPromptBody, 'documents' | 'chat_template_kwargs'>;

/** As JSON, of all documents together: what a context of some hundred thousand tokens can hold, and then some. */
const DOCUMENTS_BYTES_MAX = 8 * 1024 * 1024;

/**
 * What the answer is to be grounded in, and the template's variables without it: clients of llama-server send `documents`
 * among those.
 */
export function documentsOf(body: Body): Pick<ChatPrompt, 'documents' | 'templateVariables'> {
  const { documents: among, ...templateVariables } = body.chat_template_kwargs ?? {};
  const { documents } = body;
  if (among == null) return { documents: boundedDocuments(documents, 'documents'), templateVariables };
  const param = 'chat_template_kwargs.documents';
  if (documents != null) {
    const sentence = `\`documents\` and \`${param}\` are both given; an answer is grounded in one list. Send one.`;
    throw new InferenceError('invalid_request', sentence, { param });
  }
  const lifted = checkShape(documentsSchema, among, param);
  return { documents: boundedDocuments(lifted, param), templateVariables };
}

function boundedDocuments(documents: Body['documents'], param: string): ChatPrompt['documents'] {
  if (!documents?.length) return undefined;
  const objects = documents.map((document) => (typeof document === 'string' ? { text: document } : document));
  const bytes = Buffer.byteLength(JSON.stringify(objects));
  if (bytes <= DOCUMENTS_BYTES_MAX) return objects;
  const [given, limit] = [bytes, DOCUMENTS_BYTES_MAX].map((number) => number.toLocaleString('en'));
  throw new InferenceError(
    'invalid_request',
    `\`${param}\` has ${given} bytes as JSON; ${limit} are allowed. Send fewer documents, or only the passages that matter.`,
    { param },
  );
}
