import { type Jinja, type RenderLimits, TemplateOverrun } from './jinja.js';
import { type Abilities, type Message, type MessageTraits, shapeMessages, shapeTools } from './message-shape.js';
import { templateGlobals } from './template-globals.js';

/** Words that no template has of its own. */
const SAID = 'Xq7TriedWords';
const NAMED = 'xq7_tried_tool';
const ARGUED = 'Xq7TriedArgument';

type Rendering = (messages: readonly Message[], tools?: readonly Message[]) => string | undefined;

/**
 * Finds out what a template can do by rendering small chats with it: its text doesn't tell, and a template that can't do
 * something often says so only by leaving it out.
 *
 * @throws TemplateOverrun
 */
export function findAbilities(jinja: Jinja, traits: MessageTraits, limits: RenderLimits): Abilities {
  const plain: Abilities = {
    textContent: true,
    partsContent: false,
    systemRole: true,
    tools: true,
    calls: true,
    callsWithoutContent: false,
    objectArguments: false,
  };
  const rendering = (abilities: Abilities): Rendering => {
    return (messages, tools) => tryRendering(jinja, shapeMessages(messages, abilities, traits), tools, limits);
  };
  const content = { ...plain, ...contentAbilities(rendering) };
  const system = rendering(content)([{ role: 'system', content: SAID }, QUESTION]);
  const abilities = { ...content, systemRole: system?.includes(SAID) ?? false };
  return { ...abilities, ...toolAbilities(abilities, rendering) };

  function contentAbilities(rendered: (abilities: Abilities) => Rendering) {
    const question = [{ role: 'user', content: SAID }];
    const asText = rendered(plain)(question);
    const asParts = rendered({ ...plain, textContent: false, partsContent: true })(question);
    const textContent = asText?.includes(SAID) ?? false;
    if (!textContent) return { textContent, partsContent: asParts?.includes(SAID) ?? false };
    // Printed as a list, the words would be there too. What refuses an empty list is no friend of lists.
    const empty = tryRendering(jinja, [{ role: 'user', content: [] }], undefined, limits);
    return { textContent, partsContent: asParts === asText && empty !== undefined };
  }
}

function toolAbilities(abilities: Abilities, rendering: (abilities: Abilities) => Rendering) {
  const forms = [
    { objectArguments: true, callsWithoutContent: false },
    { objectArguments: false, callsWithoutContent: false },
    { objectArguments: true, callsWithoutContent: true },
    { objectArguments: false, callsWithoutContent: true },
  ];
  const known = forms.find((form) => rendering({ ...abilities, ...form })(CALLED, TOOLS)?.includes(ARGUED));
  // The calls of earlier answers have the names of tools as well, so only a question is asked here.
  const asked = rendering(abilities)([QUESTION], TOOLS);
  return { ...(known ?? forms[1]!), calls: known !== undefined, tools: asked?.includes(NAMED) ?? false };
}

function tryRendering(
  jinja: Jinja,
  messages: readonly Message[],
  tools: readonly Message[] | undefined,
  limits: RenderLimits,
): string | undefined {
  const variables = {
    messages,
    ...(tools && { tools }),
    add_generation_prompt: true,
    bos_token: '',
    eos_token: '',
    enable_thinking: true,
    ...templateGlobals(new Date(0)),
  };
  try {
    return jinja.render(variables, limits);
  } catch (error) {
    // What is too slow or too large for so little will be so for every chat.
    if (error instanceof TemplateOverrun) throw error;
    return undefined;
  }
}

const QUESTION: Message = { role: 'user', content: 'Hello' };

const TOOLS = shapeTools([
  {
    type: 'function',
    function: {
      name: NAMED,
      description: 'Tried.',
      parameters: { type: 'object', properties: { argument: { type: 'string', description: 'Tried.' } } },
    },
  },
]);

const CALLED: readonly Message[] = [
  QUESTION,
  {
    role: 'assistant',
    content: '',
    tool_calls: [
      { id: 'call00001', type: 'function', function: { name: NAMED, arguments: JSON.stringify({ argument: ARGUED }) } },
    ],
  },
  { role: 'tool', tool_call_id: 'call00001', content: 'Done' },
  { role: 'assistant', content: 'It is done.' },
  QUESTION,
];
