import type { Include, ResponseBody, ResponseItem } from '@millrace/contracts';
import { withoutFound, withResults } from '../responses/kept-searches.js';
import type { ThoughtSeal } from '../responses/thought-seal.js';

/** Items that are kept, as whoever asks for them is told: as they were told before, and with what is asked for besides. */
export class ToldItems {
  constructor(private readonly thoughts: Pick<ThoughtSeal, 'seal'>) {}

  item<Item extends ResponseItem>(item: Item, include: readonly Include[]): Item {
    if (item.type === 'file_search_call')
      return include.includes('file_search_call.results') ? (withResults(item) as Item) : withoutFound(item);
    if (item.type !== 'reasoning' || item.encrypted_content != null) return item;
    if (!include.includes('reasoning.encrypted_content')) return item;
    const parts = item.content.length > 0 ? item.content : item.summary;
    return { ...item, encrypted_content: this.thoughts.seal(parts.map(({ text }) => text).join('\n')) };
  }

  list(items: readonly ResponseItem[], include: readonly Include[]): ResponseItem[] {
    return items.map((item) => this.item(item, include));
  }

  response(response: ResponseBody, include: readonly Include[] = []): ResponseBody {
    return { ...response, output: response.output.map((item) => this.item(item, include)) };
  }
}
