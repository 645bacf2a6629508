/**
 * Takes two checks out of templates that their own authors' format needs to fail: gpt-oss refuses an answer that quotes its
 * marks, and a Mistral template an assistant's message without any text. llama.cpp takes out the same two.
 */
export function patchTemplate(source: string): string {
  return source
    .replaceAll(
      '{%- if "<|channel|>analysis<|message|>" in message.content or "<|channel|>final<|message|>" in message.content %}',
      '{%- if false %}',
    )
    .replaceAll(
      "{%- if (message['content'] is none or message['content'] == '' or message['content']|length == 0) and (message['tool_calls'] is not defined or message['tool_calls'] is none or message['tool_calls']|length == 0) %}",
      '{%- if false %}',
    );
}

/** Gemma 4's template forgets to begin the model's turn behind a call that had a text before it. */
export function patchPrompt(source: string, prompt: string): string {
  return source.includes('<|turn>model') && prompt.endsWith('<turn|>\n') ? `${prompt}<|turn>model\n` : prompt;
}
