import type {
  Citation,
  FileSearchCallItem,
  FileSearchResult,
  FinishReason,
  OutputItem,
  OutputTextPart,
  ResponseAnnotation,
  ResponseBody,
  ResponseEvent,
  ResponseLogprob,
  Usage,
} from '@millrace/contracts';
import { NO_USAGE, type TotalUsage } from '../request-log/usage-tally.js';
import { newItemId } from '../validation/response-items.js';
import { queriesIn } from '../validation/searched-files.js';
import type { SequenceEvent } from '../vocabulary.js';
import { newCallId } from './call-id.js';
import { chatLogprob } from './chat-logprobs.js';
import { type CallPart, type Part, PartsInOrder, type TextPart } from './parts-in-order.js';
import { errorEvent, responseError, responseUsageBody } from './response-body.js';

type ItemStatus = 'in_progress' | 'completed' | 'incomplete';
type Unnumbered = ResponseEvent extends infer One
  ? One extends ResponseEvent
    ? Omit<One, 'sequence_number'>
    : never
  : never;

/** An item that is being written. What was told of it never changes: every event has a form of its own. */
interface Writing {
  readonly id: string;
  readonly index: number;
}
interface Thinking extends Writing {
  readonly kind: 'reasoning';
  text: string;
}
interface Telling extends Writing {
  readonly kind: 'message';
  text: string;
  readonly logprobs: ResponseLogprob[];
  readonly annotations: ResponseAnnotation[];
}
interface Calling extends Writing {
  readonly kind: 'call';
  readonly callId: string;
  readonly name: string;
  text: string;
  whole: boolean;
}
/** A call that the gateway carries out by itself. */
interface Searching extends Writing {
  readonly kind: 'search';
  text: string;
}
type Open = Thinking | Telling | Calling | Searching;

/** A search that was asked for, and waits to be carried out. */
export interface AskedSearch extends Writing {
  readonly queries: string[];
}

/** What a citation is told as. */
export type Annotate = (citation: Citation) => readonly ResponseAnnotation[];

const INCOMPLETE: Readonly<Partial<Record<FinishReason, 'max_output_tokens' | 'content_filter'>>> = {
  length: 'max_output_tokens',
  content_filter: 'content_filter',
};

/**
 * An answer as OpenAI tells of it: events that are numbered from 0, of items that come one after another. Each begins (`output_item.added`),
 * is told bit by bit, and is told once more in one piece (`output_item.done`); what is written decides where one ends and the next begins. The
 * last event has the whole response, which is the answer where nobody asked for a stream.
 *
 * Where the model searches files, its turn ends without an end: each search is told when it is carried out, and another turn goes on. Then
 * other items may lie between the beginning of a search and its end.
 *
 * It does nothing but compute. What an item is made of is put together from its deltas, so that both forms are the same.
 */
export class ResponseEvents {
  #told: ResponseEvent[] = [];
  #number = 0;
  /** By index; what has begun and is not over has its place already. */
  readonly #output: (OutputItem | undefined)[] = [];
  readonly #searches: AskedSearch[] = [];
  #usage: TotalUsage = NO_USAGE;
  /** The turn that is over had calls that are the client's to carry out. */
  #called = false;
  #parts = new PartsInOrder();
  #open: Open | undefined;
  /** The answer ended before it was over, perhaps in the midst of several calls. */
  #cut = false;
  /** Of tokens without a text: they wait for the next that has one. */
  #logprobs: ResponseLogprob[] = [];
  /** Code points of the texts of this turn before the one that is open: citations count through all of them. */
  #pointsBefore = 0;
  #ended: ResponseBody | undefined;

  /**
   * @param empty the response before anything of it came.
   * @param model asked once something has.
   * @param searchFunction what the model calls to search files; undefined: it can't, and whatever it calls is the client's.
   */
  constructor(
    private readonly empty: ResponseBody,
    private readonly annotate: Annotate,
    private readonly model: () => string,
    private readonly searchFunction?: string,
  ) {}

  /** Something was told. */
  get begun(): boolean {
    return this.#number > 0;
  }

  /** The whole response, once it has ended. */
  get ended(): ResponseBody | undefined {
    return this.#ended;
  }

  /** What the turn that is over wants to search for: it has not ended, and goes on once all of them were `found`. */
  get searches(): readonly AskedSearch[] {
    return [...this.#searches];
  }

  /** Whether the turn that is over had calls for the client as well, who is to go on then. */
  get called(): boolean {
    return this.#called;
  }

  /** Items that are over, in their order. */
  get output(): readonly OutputItem[] {
    return this.#output.filter((item) => item !== undefined);
  }

  /** Of all turns that are over. */
  get outputTokens(): number {
    return this.#usage.completionTokens;
  }

  /** What an event of the engine is told as. */
  add(event: SequenceEvent): readonly ResponseEvent[] {
    if (event.kind === 'begun') this.#begin();
    if (event.kind === 'tokens') this.#write(this.#parts.add(event));
    if (event.kind === 'finished') this.#finish(event.reason, event.usage);
    return this.#take();
  }

  /** A search begins to be carried out. */
  searching(search: AskedSearch): readonly ResponseEvent[] {
    this.#tell({ type: 'response.file_search_call.searching', ...placeOf(search) });
    return this.#take();
  }

  /**
   * A search was carried out.
   *
   * @param results as they are told; null: they are not.
   * @param status `incomplete`: it was not, since there were too many.
   */
  found(
    search: AskedSearch,
    results: FileSearchResult[] | null,
    status: 'completed' | 'incomplete' = 'completed',
  ): readonly ResponseEvent[] {
    if (status === 'completed') this.#tell({ type: 'response.file_search_call.completed', ...placeOf(search) });
    this.#endSearch(search, status, results);
    return this.#take();
  }

  /** Ends what would otherwise go on with another turn. */
  end(reason: 'stop' | 'length'): readonly ResponseEvent[] {
    this.#conclude(reason);
    return this.#take();
  }

  /** What is told in place of what did not come. OpenAI's clients throw at the first event; the second is for who reads on. */
  fail(thrown: unknown): readonly ResponseEvent[] {
    this.#close('incomplete');
    this.#giveUpSearches();
    this.#told.push(errorEvent(thrown, this.#number++));
    this.#end('response.failed', { status: 'failed', error: responseError(thrown) });
    return this.#take();
  }

  #begin(): void {
    this.#pointsBefore = 0;
    this.#parts = new PartsInOrder();
    this.#called = false;
    if (this.begun) return; // Another turn.
    const response = this.#response({ status: 'in_progress' });
    this.#tell({ type: 'response.created', response });
    this.#tell({ type: 'response.in_progress', response });
  }

  #write(parts: readonly Part[]): void {
    for (const part of parts) {
      if (part.kind === 'thought') this.#think(part.text);
      else if (part.kind === 'text') this.#tellText(part);
      else this.#call(part);
    }
  }

  #think(delta: string): void {
    const item = this.#open?.kind === 'reasoning' ? this.#open : this.#beginThought();
    item.text += delta;
    this.#tell({ type: 'response.reasoning_text.delta', ...placeOf(item), content_index: 0, delta });
  }

  #beginThought(): Thinking {
    const item = this.#begun<Thinking>({ ...this.#next('rs'), kind: 'reasoning', text: '' });
    this.#tellPart('response.content_part.added', item, { type: 'reasoning_text', text: '' });
    return item;
  }

  #tellText({ text, logprobs, citations }: TextPart): void {
    for (const one of logprobs) this.#logprobs.push(logprobOf(one));
    if (text !== '') this.#addText(text);
    for (const citation of citations) this.#cite(citation);
  }

  #addText(delta: string): void {
    const item = this.#open?.kind === 'message' ? this.#open : this.#beginText();
    const logprobs = this.#logprobs;
    this.#logprobs = [];
    item.text += delta;
    for (const logprob of logprobs) item.logprobs.push(logprob);
    this.#tell({ type: 'response.output_text.delta', ...placeOf(item), content_index: 0, delta, logprobs });
  }

  #beginText(): Telling {
    const item = this.#begun<Telling>({
      ...this.#next('msg'),
      kind: 'message',
      text: '',
      logprobs: [],
      annotations: [],
    });
    this.#tellPart('response.content_part.added', item, {
      type: 'output_text',
      text: '',
      annotations: [],
      logprobs: [],
    });
    return item;
  }

  /** What is cited of a text that is over, since calls came behind it, is left out: it was told whole. */
  #cite(citation: Citation): void {
    const item = this.#open;
    if (item?.kind !== 'message') return;
    const within = { ...citation, start: citation.start - this.#pointsBefore, end: citation.end - this.#pointsBefore };
    if (within.start < 0) return;
    for (const annotation of this.annotate(within)) {
      const annotation_index = item.annotations.push(annotation) - 1;
      const place = { ...placeOf(item), content_index: 0, annotation_index };
      this.#tell({ type: 'response.output_text.annotation.added', ...place, annotation });
    }
  }

  #call({ name, arguments: delta, whole }: CallPart): void {
    const item = name === undefined ? this.#open : this.#beginCall(name);
    if (item?.kind !== 'call' && item?.kind !== 'search') return;
    item.text += delta;
    if (item.kind === 'search') return; // What is searched for is told once it is known.
    item.whole = whole;
    if (delta !== '') this.#tell({ type: 'response.function_call_arguments.delta', ...placeOf(item), delta });
  }

  #beginCall(name: string): Calling | Searching {
    if (name === this.searchFunction) return this.#beginSearch();
    this.#called = true;
    const item = { kind: 'call', callId: newCallId(), name, text: '', whole: false } as const;
    return this.#begun<Calling>({ ...this.#next('fc'), ...item });
  }

  #beginSearch(): Searching {
    const item = this.#begun<Searching>({ ...this.#next('fs'), kind: 'search', text: '' });
    this.#tell({ type: 'response.file_search_call.in_progress', ...placeOf(item) });
    return item;
  }

  /** Ends what is open first: items come one after another. */
  #next(beginning: 'msg' | 'fc' | 'rs' | 'fs'): Writing {
    this.#close('completed');
    return { id: newItemId(beginning), index: this.#output.push(undefined) - 1 };
  }

  #begun<Item extends Open>(item: Item): Item {
    this.#open = item;
    const { index } = item;
    this.#tell({ type: 'response.output_item.added', output_index: index, item: itemOf(item, 'in_progress') });
    return item;
  }

  #close(status: ItemStatus): void {
    const item = this.#open;
    if (item === undefined) return;
    this.#open = undefined;
    if (item.kind === 'search') {
      this.#searches.push({ id: item.id, index: item.index, queries: queriesIn(item.text) });
      return;
    }
    if (item.kind === 'reasoning') this.#endThought(item);
    else if (item.kind === 'message') this.#endText(item);
    else this.#tell({ type: 'response.function_call_arguments.done', ...placeOf(item), arguments: item.text });
    const isHalf = item.kind === 'call' && this.#cut && !item.whole;
    this.#done(item.index, itemOf(item, isHalf ? 'incomplete' : status));
  }

  #done(index: number, item: OutputItem): void {
    this.#output[index] = item;
    this.#tell({ type: 'response.output_item.done', output_index: index, item });
  }

  #endSearch(search: AskedSearch, status: FileSearchCallItem['status'], results: FileSearchResult[] | null): void {
    this.#searches.splice(this.#searches.indexOf(search), 1);
    this.#done(search.index, { ...searchItem(search, status, search.queries), results });
  }

  #giveUpSearches(): void {
    for (const search of this.searches) this.#endSearch(search, 'incomplete', null);
  }

  #endThought(item: Thinking): void {
    const { text } = item;
    this.#tell({ type: 'response.reasoning_text.done', ...placeOf(item), content_index: 0, text });
    this.#tellPart('response.content_part.done', item, { type: 'reasoning_text', text });
  }

  #endText(item: Telling): void {
    for (const logprob of this.#logprobs) item.logprobs.push(logprob);
    this.#logprobs = [];
    this.#pointsBefore += codePointsOf(item.text);
    const part = textPart(item);
    const { text, logprobs } = part;
    this.#tell({ type: 'response.output_text.done', ...placeOf(item), content_index: 0, text, logprobs });
    this.#tellPart('response.content_part.done', item, part);
  }

  #tellPart(
    type: 'response.content_part.added' | 'response.content_part.done',
    item: Open,
    part: Extract<ResponseEvent, { part: unknown }>['part'],
  ): void {
    this.#tell({ type, ...placeOf(item), content_index: 0, part });
  }

  #finish(reason: FinishReason, used: Usage): void {
    const { promptTokens, completionTokens, cachedTokens, reasoningTokens } = this.#usage;
    this.#usage = {
      promptTokens: promptTokens + used.promptTokens,
      completionTokens: completionTokens + used.completionTokens,
      cachedTokens: cachedTokens + used.cachedTokens,
      reasoningTokens: reasoningTokens + (used.reasoningTokens ?? 0),
    };
    const cut = INCOMPLETE[reason] !== undefined;
    this.#cut = cut;
    this.#write(this.#parts.end());
    // What is open may be a search as well.
    this.#close(cut ? 'incomplete' : 'completed');
    if (cut || this.#searches.length === 0) this.#conclude(reason);
  }

  #conclude(reason: FinishReason): void {
    const cut = INCOMPLETE[reason];
    this.#giveUpSearches();
    // An answer may be empty, and is an answer even so; one that was cut while it thought has none.
    if (cut === undefined && !this.#answered()) {
      this.#beginText();
      this.#close('completed');
    }
    const usage = responseUsageBody(this.#usage);
    if (cut === undefined) {
      this.#end('response.completed', { status: 'completed', usage, completed_at: Math.floor(Date.now() / 1000) });
    } else {
      this.#end('response.incomplete', { status: 'incomplete', usage, incomplete_details: { reason: cut } });
    }
  }

  #answered(): boolean {
    return this.output.some(({ type }) => type === 'message' || type === 'function_call');
  }

  #end(
    type: 'response.completed' | 'response.incomplete' | 'response.failed',
    changes: Partial<ResponseBody> & Pick<ResponseBody, 'status'>,
  ): void {
    this.#ended = this.#response(changes);
    this.#tell({ type, response: this.#ended });
  }

  #response(changes: Partial<ResponseBody>): ResponseBody {
    return { ...this.empty, model: this.model(), output: [...this.output], ...changes };
  }

  #tell(event: Unnumbered): void {
    // The number near the front, for people who read along.
    this.#told.push({ type: event.type, sequence_number: this.#number++, ...(event as object) } as ResponseEvent);
  }

  #take(): readonly ResponseEvent[] {
    const told = this.#told;
    this.#told = [];
    return told;
  }
}

function placeOf({ id, index }: Writing) {
  return { item_id: id, output_index: index };
}

/** As it stands now; while it is being written it tells nothing of what it holds, which the events do. */
function itemOf(item: Open, status: ItemStatus): OutputItem {
  const { id } = item;
  const begun = status === 'in_progress';
  switch (item.kind) {
    case 'reasoning':
      return {
        id,
        type: 'reasoning',
        summary: [],
        content: begun ? [] : [{ type: 'reasoning_text', text: item.text }],
        status,
      };
    case 'message':
      return { id, type: 'message', role: 'assistant', status, content: begun ? [] : [textPart(item)] };
    case 'call': {
      const { callId, name, text } = item;
      return { id, type: 'function_call', call_id: callId, name, arguments: text, status };
    }
    case 'search':
      return searchItem(item, status, []);
  }
}

function searchItem({ id }: Writing, status: FileSearchCallItem['status'], queries: string[]): FileSearchCallItem {
  return { id, type: 'file_search_call', status, queries, results: null };
}

function textPart({ text, annotations, logprobs }: Telling): OutputTextPart {
  return { type: 'output_text', text, annotations, logprobs };
}

function logprobOf(logprob: Parameters<typeof chatLogprob>[0]): ResponseLogprob {
  return chatLogprob(logprob) as ResponseLogprob;
}

function codePointsOf(text: string): number {
  let points = 0;
  for (const _ of text) points++;
  return points;
}
