import type { ReasoningItem } from '@millrace/contracts';
import type { ThoughtSeal } from '../responses/thought-seal.js';

interface Place {
  readonly item_id: string;
  readonly output_index: number;
}

/**
 * As what a thought is told: as the text that it is, or, where a summary was asked for, as the one part of its summary, whole and word by word.
 * Never as both: whoever asks for summaries shows these, many clients know of nothing else, and those that know both would show it twice.
 */
export class ThoughtForm {
  /** @param seal undefined: nothing is sealed. */
  constructor(
    private readonly summarised = false,
    private readonly seal?: Pick<ThoughtSeal, 'seal'>,
  ) {}

  begun(place: Place) {
    if (this.summarised) {
      const part = { type: 'summary_text', text: '' } as const;
      return { type: 'response.reasoning_summary_part.added', ...place, summary_index: 0, part } as const;
    }
    const part = { type: 'reasoning_text', text: '' } as const;
    return { type: 'response.content_part.added', ...place, content_index: 0, part } as const;
  }

  bit(place: Place, delta: string) {
    return this.summarised
      ? ({ type: 'response.reasoning_summary_text.delta', ...place, summary_index: 0, delta } as const)
      : ({ type: 'response.reasoning_text.delta', ...place, content_index: 0, delta } as const);
  }

  ended(place: Place, text: string) {
    if (this.summarised) {
      const at = { ...place, summary_index: 0 };
      const part = { type: 'summary_text', text } as const;
      return [
        { type: 'response.reasoning_summary_text.done', ...at, text },
        { type: 'response.reasoning_summary_part.done', ...at, part },
      ] as const;
    }
    const at = { ...place, content_index: 0 };
    const part = { type: 'reasoning_text', text } as const;
    return [
      { type: 'response.reasoning_text.done', ...at, text },
      { type: 'response.content_part.done', ...at, part },
    ] as const;
  }

  /** @param text undefined: nothing of it was told yet. */
  item(id: string, text: string | undefined, status: ReasoningItem['status']): ReasoningItem {
    const isBegun = text === undefined;
    return {
      id,
      type: 'reasoning',
      summary: this.summarised && !isBegun ? [{ type: 'summary_text', text }] : [],
      content: this.summarised || isBegun ? [] : [{ type: 'reasoning_text', text }],
      ...(this.seal !== undefined && { encrypted_content: isBegun ? null : this.seal.seal(text) }),
      status,
    };
  }
}
