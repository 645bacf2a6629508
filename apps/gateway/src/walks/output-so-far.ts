import type { OutputItem, OutputTextPart, ResponseEvent } from '@millrace/contracts';

type ReasoningPart = Extract<OutputItem, { type: 'reasoning' }>['content'][number];

/** One that has begun and is not over. It is put together here, and told by nobody else. */
interface Open {
  readonly item: OutputItem;
  readonly parts: (OutputTextPart | ReasoningPart)[];
  text: string;
}

/**
 * The output of a response as far as events have told it, for a response that ends before they do. An item that is over is as it was told
 * then; one that is not has what came of it, and is incomplete.
 */
export class OutputSoFar {
  readonly #over: OutputItem[] = [];
  readonly #open = new Map<number, Open>();

  add(event: ResponseEvent): void {
    switch (event.type) {
      case 'response.output_item.added':
        this.#open.set(event.output_index, { item: event.item, parts: [], text: '' });
        return;
      case 'response.output_item.done':
        this.#open.delete(event.output_index);
        this.#over[event.output_index] = event.item;
        return;
      case 'response.content_part.added':
        this.#open.get(event.output_index)?.parts.push(newPart(event.part));
        return;
      case 'response.output_text.delta': {
        const part = this.#partOf(event);
        if (part?.type !== 'output_text') return;
        part.text += event.delta;
        for (const logprob of event.logprobs) part.logprobs.push(logprob);
        return;
      }
      case 'response.output_text.annotation.added': {
        const part = this.#partOf(event);
        if (part?.type === 'output_text') part.annotations.push(event.annotation);
        return;
      }
      case 'response.reasoning_text.delta': {
        const part = this.#partOf(event);
        if (part?.type === 'reasoning_text') part.text += event.delta;
        return;
      }
      case 'response.function_call_arguments.delta': {
        const open = this.#open.get(event.output_index);
        if (open !== undefined) open.text += event.delta;
        return;
      }
    }
  }

  /** In their order. */
  get items(): OutputItem[] {
    const items = [...this.#over];
    for (const [index, open] of this.#open) items[index] = asFarAsItCame(open);
    return items.filter((item) => item !== undefined);
  }

  #partOf({ output_index, content_index }: { readonly output_index: number; readonly content_index: number }) {
    return this.#open.get(output_index)?.parts[content_index];
  }
}

/** Events are others' as well: what is added to is a copy. */
function newPart(part: OutputTextPart | ReasoningPart): OutputTextPart | ReasoningPart {
  return part.type === 'output_text' ? { ...part, annotations: [], logprobs: [] } : { ...part };
}

function asFarAsItCame({ item, parts, text }: Open): OutputItem {
  const status = 'incomplete';
  switch (item.type) {
    case 'message':
      return { ...item, status, content: parts.filter((part) => part.type === 'output_text') };
    case 'reasoning':
      return { ...item, status, content: parts.filter((part) => part.type === 'reasoning_text') };
    case 'function_call':
      return { ...item, status, arguments: text };
    case 'file_search_call':
      return { ...item, status };
  }
}
