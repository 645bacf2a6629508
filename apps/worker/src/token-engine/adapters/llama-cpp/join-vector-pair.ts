import type { VectorAddonModel } from './vector-addon.js';

/** llama.cpp's `llama_vocab_type` of BERT's own vocabularies. */
const WORD_PIECE = 3;

/** Control tokens between and around the two parts of a pair. */
export interface PairMarks {
  readonly before: readonly number[];
  readonly between: readonly number[];
  readonly after: readonly number[];
}

/** What stands for the two texts in a model's own template; spaces around them belong to the texts. */
const TEMPLATE_PARTS = /(\s*\{(?:query|document)\}\s*)/;

/**
 * Where a model that scores has no template of its own: `[CLS] query [SEP] document [SEP]` for BERT's vocabularies,
 * `<s> query </s></s> document </s>` for RoBERTa's and its kin. Both are what the models were trained on; llama.cpp's
 * server leaves out BERT's last token.
 *
 * @throws Error when the vocabulary has no token that could stand between the two.
 */
export function pairMarks(model: VectorAddonModel): PairMarks {
  const begin = model.tokenBos();
  const separator = model.sepToken();
  const end = model.tokenEos();
  const before = begin >= 0 ? [begin] : [];
  if (separator >= 0 && (end < 0 || model.getVocabularyType() === WORD_PIECE)) {
    return { before, between: [separator], after: [separator] };
  }
  if (end >= 0) return { before, between: separator >= 0 ? [end, separator] : [end], after: [end] };
  throw new Error('The model has no token to put between a query and a document, so it can score none.');
}

/**
 * The tokens of a pair, by a template with `{query}` and `{document}`.
 *
 * Only the template's own control tokens are read as such. Spaces beside a text are tokenised with it, since in most
 * vocabularies the space before a word is a part of its token.
 */
export function joinByTemplate(
  template: string,
  query: string,
  document: string,
  tokenize: (text: string, special: boolean) => number[],
): number[] {
  return template.split(TEMPLATE_PARTS).flatMap((part) => {
    if (!TEMPLATE_PARTS.test(part)) return part === '' ? [] : tokenize(part, true);
    const text = part.includes('{query}') ? query : document;
    const [leading = '', trailing = ''] = part.split(/\{(?:query|document)\}/);
    return tokenize(leading + text + trailing, false);
  });
}

/** @throws Error in a sentence when a template can hold no pair. */
export function checkRerankTemplate(template: string, path: string): void {
  if (template.includes('{query}') && template.includes('{document}')) return;
  throw new Error(`${path} has a template for reranking without {query} or {document}. Choose another file.`);
}
