import type {
  Citation,
  FileSearchResult,
  OutputItem,
  ResponseAnnotation,
  ResponseBody,
  ResponseEvent,
  ResponseRequestBody,
} from '@millrace/contracts';
import { SEARCHES_PER_RESPONSE_MAX } from '@millrace/contracts';
import type { OpenRecord } from '../request-log/request-log.js';
import type { ThoughtSeal } from '../responses/thought-seal.js';
import { inResponseWords, validResponse } from '../validation/parse-response-request.js';
import { FILE_SEARCH_FUNCTION, type FileSearchTool, fileSearchOf } from '../validation/searched-files.js';
import type { Call, ValidChatRequest } from '../vocabulary.js';
import { annotationsOf } from './annotations.js';
import { endedEarly } from './answer-heading.js';
import type { CompleteChat } from './complete-chat.js';
import type { Entered } from './entrance.js';
import { LogprobsAllowance } from './logprobs-allowance.js';
import { type AskedSearch, ResponseEvents } from './response-events.js';
import type { ResponseInput } from './response-input.js';
import type { SearchFiles } from './search-files.js';
import { ThoughtForm } from './thought-form.js';

const ALLOWANCE_ADVICE = 'Ask for fewer tokens or log-probabilities.';

/** A response that was let in. */
export interface BegunResponse {
  readonly asked: ResponseRequestBody;
  readonly input: ResponseInput;
  readonly entered: Entered<ValidChatRequest>;
  /** Before anything of it came. */
  readonly empty: ResponseBody;
  readonly call: Call;
}

/**
 * What a response is told as: one turn of the model, or several, where it searches files. Each of these is a request of its own to those who
 * count and record them; a search is one as well. How many there may be is bounded: behind the last the model has no tool to search with.
 */
export class ResponseTurns {
  readonly events: ResponseEvents;
  readonly #tool: FileSearchTool | undefined;
  readonly #records: OpenRecord[] = [];
  /** Of the turn that runs. */
  #entered: Entered<ValidChatRequest>;

  constructor(
    private readonly begun: BegunResponse,
    private readonly chat: Pick<CompleteChat, 'enter' | 'generate'>,
    private readonly files: Pick<SearchFiles, 'run'>,
    thoughts: Pick<ThoughtSeal, 'seal'>,
    /** By the ids of its searches: the model reads it, even where nobody else does, and so does what goes on from here. */
    readonly found = new Map<string, readonly FileSearchResult[]>(),
  ) {
    this.#tool = fileSearchOf(begun.asked.tools)?.tool;
    this.#entered = begun.entered;
    this.events = new ResponseEvents(
      begun.empty,
      (citation) => this.#annotate(citation),
      () => this.#entered.record.answeredBy.id,
      this.#tool && FILE_SEARCH_FUNCTION,
      thoughtForm(begun, thoughts),
    );
  }

  /** Of all its turns together, as `OpenRecord`. */
  get elsewhereMs(): number | undefined {
    const known = this.#records.map(({ elsewhereMs }) => elsewhereMs).filter((ms) => ms !== undefined);
    return known.length === 0 ? undefined : known.reduce((sum, ms) => sum + ms, 0);
  }

  /** Its end is told when everything that it had is given back: whoever reads it slowly, or keeps it first, holds no place. */
  async *tell(): AsyncGenerator<readonly ResponseEvent[]> {
    const { events } = this;
    // A stream collects them too: its last event has all of them.
    const allowance = new LogprobsAllowance({ ...this.#entered.request, stream: false }, ALLOWANCE_ADVICE);
    for (;;) {
      const last = yield* this.#turn(allowance);
      if (events.ended !== undefined) return yield last;
      yield* this.#search();
      const asked = this.#nextAsked();
      if (asked === undefined) return yield events.end(events.called ? 'stop' : 'length');
      this.#entered = await this.#nextTurn(asked);
    }
  }

  /** @returns what is told last of it, and was not yet. */
  async *#turn(allowance: LogprobsAllowance): AsyncGenerator<readonly ResponseEvent[], readonly ResponseEvent[]> {
    const { events } = this;
    const { record } = this.#entered;
    this.#records.push(record);
    let last: readonly ResponseEvent[] = [];
    let finished = false;
    try {
      for await (const event of this.chat.generate(this.#entered)) {
        allowance.use(event);
        last = events.add(event);
        finished = event.kind === 'finished';
        if (events.ended === undefined && last.length > 0) yield last;
      }
      if (!finished) throw endedEarly();
    } catch (error) {
      const told = inResponseWords(error);
      record.fail(told);
      throw told;
    }
    return last;
  }

  /** All searches of a turn, one after another, as far as more may be made. */
  async *#search(): AsyncGenerator<readonly ResponseEvent[]> {
    const { events, begun } = this;
    const shown = begun.asked.include?.includes('file_search_call.results') ?? false;
    for (const search of events.searches) {
      if (this.found.size >= this.#searchesMax) {
        yield events.found(search, null, 'incomplete');
        continue;
      }
      yield events.searching(search);
      const results = await this.#resultsOf(search);
      yield events.found(search, shown ? [...results] : null);
    }
  }

  async #resultsOf({ id, queries }: AskedSearch): Promise<readonly FileSearchResult[]> {
    const results = await this.files.run(this.#tool!, queries, this.begun.call);
    this.found.set(id, results);
    return results;
  }

  get #searchesMax(): number {
    return Math.min(this.begun.asked.max_tool_calls ?? SEARCHES_PER_RESPONSE_MAX, SEARCHES_PER_RESPONSE_MAX);
  }

  /** What the next turn is asked with; undefined: there is none, since the client is to go on, or no token is left for it. */
  #nextAsked(): ResponseRequestBody | undefined {
    const { asked } = this.begun;
    if (this.events.called) return undefined;
    const left = asked.max_output_tokens == null ? undefined : asked.max_output_tokens - this.events.outputTokens;
    if (left !== undefined && left <= 0) return undefined;
    const goesOn = { ...asked, max_output_tokens: left, tool_choice: freely(asked.tool_choice) };
    return this.found.size < this.#searchesMax ? goesOn : withoutSearch(goesOn);
  }

  #nextTurn(asked: ResponseRequestBody): Promise<Entered<ValidChatRequest>> {
    const { input, call } = this.begun;
    const made = this.events.output.map((item) => ({ item: this.#asTheModelReadsIt(item) }));
    return this.chat.enter(call, (models) => validResponse(asked, [...input.all, ...made], models), 'responses');
  }

  #asTheModelReadsIt(item: OutputItem): OutputItem {
    return item.type === 'file_search_call' ? { ...item, results: [...(this.found.get(item.id) ?? [])] } : item;
  }

  /**
   * What is cited of a search is a file where all that it found is of one: models cite results of a call as a whole. Whatever else is cited is
   * told as in chats, without a wrapping.
   */
  #annotate(citation: Citation): readonly ResponseAnnotation[] {
    const files = citation.sources.map((source) =>
      source.kind === 'toolResult' ? onlyFileOf(this.found.get(source.callId)) : undefined,
    );
    return citation.sources.flatMap((source, index): ResponseAnnotation[] => {
      const file = files[index];
      if (file !== undefined) return [{ type: 'file_citation', ...file, index: citation.end }];
      const one = { ...citation, sources: [source] };
      return annotationsOf([one], this.#entered.request.prompts[0]!).map(({ type, url_citation }) => ({
        type,
        ...url_citation,
      }));
    });
  }
}

function thoughtForm({ asked, empty }: BegunResponse, thoughts: Pick<ThoughtSeal, 'seal'>): ThoughtForm {
  const sealed = asked.include?.includes('reasoning.encrypted_content') ?? false;
  return new ThoughtForm(empty.reasoning.summary !== null, sealed ? thoughts : undefined);
}

function onlyFileOf(results: readonly FileSearchResult[] = []) {
  const [first] = results;
  if (first === undefined || results.some(({ file_id }) => file_id !== first.file_id)) return undefined;
  return { file_id: first.file_id, filename: first.filename };
}

type Choice = ResponseRequestBody['tool_choice'];

/** A model that had to call has called. */
function freely(choice: Choice): Choice {
  return typeof choice === 'object' && choice?.type === 'allowed_tools' ? { ...choice, mode: 'auto' } : 'auto';
}

function withoutSearch(asked: ResponseRequestBody): ResponseRequestBody {
  const { tools, tool_choice: choice } = asked;
  const left = { ...asked, tools: tools?.filter(({ type }) => type !== 'file_search') };
  if (typeof choice !== 'object' || choice?.type !== 'allowed_tools') return left;
  const allowed = choice.tools.filter(({ type }) => type !== 'file_search');
  return { ...left, tool_choice: allowed.length === 0 ? 'none' : { ...choice, tools: allowed } };
}
