import { InferenceError, type MessageBlock, type MessageBody } from '@millrace/contracts';

/** A block, and where it stands in the request. */
export interface PlacedBlock {
  readonly block: MessageBlock;
  readonly param: string;
}

/** Messages of one role that follow each other. */
export interface Turn {
  readonly role: MessageBody['role'];
  readonly blocks: readonly PlacedBlock[];
  /** Where its last message stands. */
  readonly param: string;
}

/** Many templates know no two messages of one role in a row, and to Anthropic they are one turn. */
export function turnsOf(messages: readonly MessageBody[]): Turn[] {
  const turns: { role: Turn['role']; blocks: PlacedBlock[]; param: string }[] = [];
  for (const [index, { role, content }] of messages.entries()) {
    const param = `messages[${index}]`;
    const blocks = blocksOf(content, `${param}.content`);
    for (const placed of blocks) checkPlace(placed, role);
    const turn = turns.at(-1);
    if (turn?.role === role) {
      turn.blocks.push(...blocks);
      turn.param = param;
    } else turns.push({ role, blocks, param });
  }
  return turns;
}

function blocksOf(content: MessageBody['content'], param: string): PlacedBlock[] {
  if (typeof content === 'string') return [{ block: { type: 'text', text: content }, param }];
  return content.map((block, index) => ({ block, param: `${param}[${index}]` }));
}

/** Who may say what. */
const ROLES = {
  text: ['user', 'assistant', 'system'],
  tool_result: ['user'],
  tool_use: ['assistant'],
  thinking: ['assistant'],
  redacted_thinking: ['assistant'],
} as const satisfies Partial<Record<MessageBlock['type'], readonly Turn['role'][]>>;

function checkPlace({ block: { type }, param }: PlacedBlock, role: Turn['role']): void {
  if (!Object.hasOwn(ROLES, type)) throw unreadable(type, param);
  const roles: readonly string[] = ROLES[type as keyof typeof ROLES];
  if (roles.includes(role)) return;
  throw new InferenceError(
    'invalid_request',
    `\`${param}\` is of type ${type}, in a message of the role ${role}; it belongs into one of the role ${roles.join(' or ')}.`,
    { param },
  );
}

export function unreadable(type: string, param: string): InferenceError {
  return new InferenceError(
    'unsupported_parameter',
    `\`${param}\` is of type ${type}; only text, and calls of the caller's own tools, are read here. Send blocks of type text.`,
    { param },
  );
}
