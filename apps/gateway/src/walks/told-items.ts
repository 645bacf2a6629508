import type { Include, ResponseItem } from '@millrace/contracts';
import { withoutFound, withResults } from '../responses/kept-searches.js';

/** An item that is kept, as whoever asks for it is told: as it was told before, and with what they ask for besides. */
export function toldItem<Item extends ResponseItem>(item: Item, include: readonly Include[]): Item {
  return include.includes('file_search_call.results') ? (withResults(item) as Item) : withoutFound(item);
}
