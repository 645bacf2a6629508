/** Where we render otherwise than llama.cpp on purpose. */
export interface Difference {
  readonly why: string;
  readonly templates: readonly string[] | 'those without a place for documents';
  readonly conversations: readonly string[];
}

const DOCUMENTS = ['documents', 'documents and tools', 'documents and citations'];

const WITH_TOOLS = [
  'tools',
  'tools and system',
  'tools with rich schemas',
  'one call and its result',
  'a call, a result, an answer',
  'a call with text before it',
  'parallel calls',
  'calls one after another',
  'a call with nested arguments',
  'numbers in arguments',
  'reasoning before a call',
  'reasoning and text before a call',
  'reasoning off with tools',
  'continued with tools',
];

const WITH_CALLS = [
  'one call and its result',
  'a call, a result, an answer',
  'a call with text before it',
  'parallel calls',
  'calls one after another',
  'a call with nested arguments',
  'numbers in arguments',
  'a call without tools',
  'reasoning before a call',
  'reasoning and text before a call',
];

const TEXT_CONTINUED = ['continued', 'continued after turns', 'continued with tools'];
const CONTINUED = [...TEXT_CONTINUED, 'continued behind reasoning'];
const ALL_CONTINUED = [...CONTINUED, 'continued reasoning'];

export const DIFFERENCES: readonly Difference[] = [
  {
    why: 'A caller who sends documents must not get an answer that knows nothing of them: a 400 says so.',
    templates: 'those without a place for documents',
    conversations: DOCUMENTS,
  },
  {
    why: 'Who sends documents wants to know what the answer takes from them: the template is told to ask for citations.',
    templates: ['CohereForAI-c4ai-command-r7b-12-2024-tool_use'],
    conversations: ['documents', 'documents and tools'],
  },
  {
    why: 'The same; this template has another name for it than the table of conversations.',
    templates: ['Cohere2MoE'],
    conversations: DOCUMENTS,
  },
  {
    why: 'The template tells the model nothing of the tools, so a system message does. The calls are in the form of the template, where it has one.',
    templates: [
      'HuggingFaceTB-SmolLM3-3B',
      'deepseek-ai-DeepSeek-R1-Distill-Llama-8B',
      'deepseek-ai-DeepSeek-R1-Distill-Qwen-32B',
      'deepseek-ai-DeepSeek-V3.1',
      'fireworks-ai-llama-3-firefunction-v2',
      'google-gemma-2-2b-it',
      'llama-cpp-rwkv-world',
      'microsoft-Phi-3.5-mini-instruct',
    ],
    conversations: WITH_TOOLS,
  },
  {
    why: 'The template knows no calls: they and their results are texts of the ordinary roles, and not left out.',
    templates: [
      'HuggingFaceTB-SmolLM3-3B',
      'google-gemma-2-2b-it',
      'llama-cpp-rwkv-world',
      'microsoft-Phi-3.5-mini-instruct',
    ],
    conversations: ['a call without tools'],
  },
  {
    why: 'The template writes calls only beside a content of null, which it gets; llama.cpp leaves the calls out.',
    templates: ['deepseek-ai-DeepSeek-R1-Distill-Llama-8B'],
    conversations: ['a call without tools'],
  },
  {
    why: 'The template refuses ids that have not nine characters, as OpenAI’s have; we give it such ids.',
    templates: ['Mistral-Small-3.2-24B-Instruct-2506', 'mistralai-Mistral-Nemo-Instruct-2407'],
    conversations: WITH_CALLS,
  },
  {
    why: 'The template has another name for what turns thinking on and off than `enable_thinking`, and gets it under that.',
    templates: ['MiniMax-M3', 'Cohere2MoE', 'ByteDance-Seed-OSS'],
    conversations: ['reasoning off', 'reasoning off with tools'],
  },
  {
    why: 'llama.cpp takes the variable for a template of its list only; asked not to think, this one’s model does not.',
    templates: ['Kimi-K3'],
    conversations: ['reasoning off', 'reasoning off with tools'],
  },
  {
    why: 'An effort turns thinking on where it is off by itself.',
    templates: ['Apertus-8B-Instruct', 'MiniMax-M3', 'ibm-granite-granite-3.3-2B-Instruct'],
    conversations: ['reasoning high'],
  },
  {
    why: 'The reasoning before a continued text is closed as the template itself closes it, breaks of lines included.',
    templates: ['GLM-4.6', 'NVIDIA-Nemotron-Nano-v2', 'poolside-Laguna-XS-2.1', 'poolside-Laguna-XS.2'],
    conversations: ALL_CONTINUED,
  },
  {
    why: 'The same, where only the end differs.',
    templates: [
      'NVIDIA-Nemotron-3-Nano-30B-A3B-BF16',
      'StepFun3.5-Flash',
      'CohereForAI-c4ai-command-r7b-12-2024-tool_use',
    ],
    conversations: CONTINUED,
  },
  {
    why: 'A template that knows no reasoning gets none before a continued text.',
    templates: [
      'Kimi-K2-Instruct',
      'moonshotai-Kimi-K2',
      'LFM2-8B-A1B',
      'LFM2.5-Instruct',
      'unsloth-mistral-Devstral-Small-2507',
    ],
    conversations: ALL_CONTINUED,
  },
  {
    why: 'The template opens and closes the reasoning at once where thinking is off, which is its default.',
    templates: ['tencent-Hy3'],
    conversations: ['continued reasoning', 'continued behind reasoning'],
  },
  {
    why: 'Without reasoning llama.cpp closes what was never opened.',
    templates: ['deepseek-ai-DeepSeek-V4', 'deepseek-ai-DeepSeek-V4-Flash-0731'],
    conversations: TEXT_CONTINUED,
  },
  {
    why: 'llama.cpp can’t read a schema in which something has no type, and refuses; we render.',
    templates: ['CohereForAI-c4ai-command-r-plus-tool_use'],
    conversations: ['tools with rich schemas', 'a call with nested arguments', 'numbers in arguments'],
  },
  {
    why: 'Lists are printed as Python prints them: with escapes, and a list of texts not as one text.',
    templates: ['LFM2.5-8B-A1B', 'ByteDance-Seed-OSS', 'openbmb-MiniCPM5-1B'],
    conversations: ['a call with nested arguments'],
  },
  {
    why: 'The same: an empty list is not an empty text, and an object is no text at all.',
    templates: ['openbmb-MiniCPM5-1B'],
    conversations: ['numbers in arguments'],
  },
  {
    why: 'A system message alone is asked by the user, and not left out, where the template knows no system.',
    templates: ['google-gemma-2-2b-it'],
    conversations: ['only system'],
  },
  {
    why: 'llama.cpp prints the list of the parts.',
    templates: ['google-gemma-4-31B-it', 'google-gemma-4-31B-it-interleaved'],
    conversations: ['text parts of several roles'],
  },
  {
    why: 'llama.cpp opens the reasoning twice, or takes a part of the prompt for the end token.',
    templates: ['llama-cpp-rwkv-world', 'microsoft-Phi-3.5-mini-instruct'],
    conversations: ALL_CONTINUED,
  },
  {
    why: 'The template takes parts of a text, and writes them without a break of line between.',
    templates: ['LFM2.5-8B-A1B'],
    conversations: ['text parts', 'text parts of several roles'],
  },
];
