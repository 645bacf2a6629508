import type { ReasoningEffort } from '@millrace/contracts';

type Variables = Readonly<Record<string, unknown>>;

/**
 * What templates ask for to learn whether the model should think. Each family has its own name; most think unless they
 * are told not to, some only when they are told to.
 */
const SWITCHES: readonly { readonly asked: RegExp; readonly on: Variables; readonly off: Variables }[] = [
  { asked: /\benable_thinking\b/, on: { enable_thinking: true }, off: { enable_thinking: false } },
  // DeepSeek V3.1 and later, Granite 3, Kimi.
  { asked: /\bthinking\b/, on: { thinking: true }, off: { thinking: false } },
  {
    asked: /\bthinking_mode\s*==\s*["']disabled/,
    on: { thinking_mode: 'enabled' },
    off: { thinking_mode: 'disabled' },
  },
  { asked: /\bthinking_option\s*==\s*["']off/, on: { thinking_option: 'on' }, off: { thinking_option: 'off' } },
  // Seed-OSS counts tokens; without a budget it thinks as long as it likes.
  { asked: /\bthinking_budget\s*==\s*0/, on: {}, off: { thinking_budget: 0 } },
  { asked: /\breasoning_effort\b[^%}]*["']none["']/, on: {}, off: { reasoning_effort: 'none' } },
];

/**
 * The variables that tell `template` how much to think.
 *
 * @param effort absent: as the template does by itself, but for `enable_thinking`, which llama.cpp sets as well.
 * @param thinks whether the template has a form for reasoning.
 */
export function reasoningVariables(template: string, effort: ReasoningEffort | undefined, thinks: boolean): Variables {
  if (effort === undefined) return { enable_thinking: thinks };
  const asked = SWITCHES.filter((one) => one.asked.test(template));
  const switched = asked.map(({ on, off }) => (effort === 'none' ? off : on));
  const degree = effort === 'none' ? {} : { reasoning_effort: effort, reasoning_strength: effort };
  return Object.assign({ enable_thinking: effort !== 'none' }, ...switched, degree) as Variables;
}

/**
 * Whether the reasoning of earlier answers stays in the prompt, under the names that templates have for it: yes, as in
 * llama.cpp's server, unless the caller says `preserve_reasoning: false`. Who wants it gone need not send it.
 */
export function preservingVariables(variables: Variables): Variables {
  const preserve = variables.preserve_reasoning !== false;
  return {
    preserve_thinking: preserve,
    clear_thinking: !preserve,
    truncate_history_thinking: !preserve,
    drop_thinking: !preserve,
  };
}
