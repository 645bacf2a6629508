import type { ChatRequestBody } from '@millrace/contracts';
import type { ChatPrompt } from '../vocabulary.js';
import { plainMessage } from './parse-chat-request.js';

type ChatFields = Pick<ChatRequestBody, 'messages' | 'tools' | 'chat_template_kwargs'>;

/** A chat whose prompt is wanted, and no answer: tools are what its template is given. */
export function chatPromptOf({ messages, tools, chat_template_kwargs }: ChatFields): ChatPrompt {
  return {
    kind: 'chat',
    messages: messages.map(plainMessage),
    tools: tools ?? [],
    templateVariables: chat_template_kwargs ?? {},
  };
}
