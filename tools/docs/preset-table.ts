import { UPSTREAM_PRESETS } from '@millrace/contracts';
import { PRESETS, type Preset } from '@millrace/openai-engine';

const BEGIN = '<!-- presets: written by `make docs` from libs/openai-engine/src/presets.ts -->';
const END = '<!-- /presets -->';

type Row = readonly [name: string, cell: (preset: Preset) => string];

const yes = (claim: boolean | undefined) => (claim ? 'yes' : '–');
const code = (text: string | undefined) => (text === undefined ? '–' : `\`${text}\``);

const ROWS: readonly Row[] = [
  ['address', ({ url }) => code(url)],
  ['key', ({ keyEnv, needsKey }) => `${code(keyEnv)}${keyEnv !== undefined && !needsKey ? ', if there is one' : ''}`],
  ['sampling beyond OpenAI’s', ({ sampling }) => samplingBeyond(sampling)],
  ['`logit_bias`', ({ sampling }) => yes(sampling.logitBias !== undefined)],
  ['always told, since its defaults differ', ({ always, sampling }) => words(always.map((key) => sampling[key]))],
  ['limit of a chat’s answer', ({ maxTokens }) => code(maxTokens)],
  ['`json_object`, `json_schema`', ({ formats }) => `${formats.json ? 'yes' : 'as a schema'}, ${schemas(formats)}`],
  ['`grammar`', ({ formats }) => (formats.grammar === undefined ? '–' : `as \`${formats.grammar}\``)],
  ['`tool_choice`', ({ tools }) => TOOL_CHOICES[tools.choices]],
  ['`parallel_tool_calls`', ({ tools }) => (tools.parallel ? 'yes' : 'further calls are cut off')],
  ['`documents`', ({ chat }) => (chat.documents === undefined ? '–' : `as \`${chat.documents}\``)],
  ['`chat_template_kwargs`', ({ chat }) => yes(chat.templateVariables)],
  ['`reasoning_effort`', ({ chat }) => (chat.reasoningEffort === undefined ? '–' : `as \`${chat.reasoningEffort}\``)],
  ['`continue_final_message`', ({ chat }) => yes(chat.continueFinal)],
  [
    'an answer that broke off goes on: chats, texts',
    ({ chat, text }) => `${yes(chat.continueFinal)}, ${yes(text.completions)}`,
  ],
  ['an earlier answer’s thoughts', ({ chat }) => (chat.reasoningBack ? `as \`${chat.reasoningBack}\`` : 'left out')],
  ['texts, tokens, `suffix`', ({ text }) => [text.completions, text.tokens, text.suffix].map(yes).join(', ')],
  ['log-probabilities: chats, texts', ({ logprobsMax }) => `${most(logprobsMax?.chat)}, ${most(logprobsMax?.text)}`],
  ['embeddings, rerank', ({ embeddings, rerank }) => `${yes(embeddings)}, ${yes(rerank)}`],
  ['tokenize, apply-template', ({ tokens }) => yes(tokens !== undefined)],
];

const schemas = ({ schema, schemaAlone }: Preset['formats']) =>
  schemaAlone ? 'yes, but not streamed and not with tools' : yes(schema);

const TOOL_CHOICES = {
  auto: 'auto, none',
  required: 'all; a named one is sent alone',
  named: 'all',
} as const satisfies Record<Preset['tools']['choices'], string>;

/** The page with its table as the presets are now. */
export function withPresetTable(page: string): string {
  const [before, rest] = page.split(BEGIN);
  const after = rest?.split(END)[1];
  if (before === undefined || after === undefined) throw new Error(`The page has no place that begins with ${BEGIN}`);
  return `${before}${BEGIN}\n\n${presetTable()}\n\n${END}${after}`;
}

function presetTable(): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [
    line(['', ...UPSTREAM_PRESETS.map(code)]),
    line(['---', ...UPSTREAM_PRESETS.map(() => '---')]),
    ...ROWS.map(([name, cell]) => line([name, ...UPSTREAM_PRESETS.map((preset) => cell(PRESETS[preset]))])),
  ].join('\n');
}

const OPENAI_WORDS = new Set(['temperature', 'top_p', 'seed', 'presence_penalty', 'frequency_penalty', 'logit_bias']);

function samplingBeyond(sampling: Preset['sampling']): string {
  return words(Object.values(sampling).filter((word) => !OPENAI_WORDS.has(word)));
}

/** Parameters that have a beginning in common are told once. */
function words(names: readonly (string | undefined)[]): string {
  const short = names.map((name) => name?.replace(/^(dry|xtc)_.*/, '$1_…')).filter((name) => name !== undefined);
  return short.length === 0 ? '–' : [...new Set(short)].map(code).join(', ');
}

function most(count: number | undefined): string {
  return count === undefined ? '–' : `${count}`;
}

export const ENGINES_PAGE = 'docs/reference/engines.md';
