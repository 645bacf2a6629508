import { type CitationSource, TOOL_CALLS_MAX } from '@millrace/contracts';
import type { AnswerReader, Binding, ReadContent } from '../answer-reader.js';
import { type ArgumentsReader, ObjectArguments, StringArguments } from './arguments-reader.js';
import type { CallHead, CallPlace } from './call-syntax.js';
import { takeCitationMark } from './citation-marks.js';
import { codePointsIn } from './code-points.js';
import { ContentDraft } from './content-draft.js';
import type { Form, ReasoningMarks } from './forms.js';
import { GroundedAnswer } from './grounded-answer.js';
import { ParameterArguments } from './parameter-arguments.js';
import type { ReadingPlan } from './reading-plan.js';
import { MORE, Scan } from './scan.js';

/** Blanks before a mark belong to it; of a longer run, the first ones are text. */
export const BLANKS_HELD_MAX = 64;
/** Characters of what opens a call, of a citation's mark, or of what closes the reasoning. */
export const MARK_CHARACTERS_MAX = 256;
/** Characters of a call before its arguments. More, and it is none. */
export const HEAD_CHARACTERS_MAX = 8_192;

/** Sources of all passages of an answer; what is cited beyond that is told without. */
export const CITED_SOURCES_MAX = 10_000;

const BLANK = /\s/;

type Phase = 'start' | 'headings' | 'reasoning' | 'text' | 'head' | 'arguments' | 'tail';

const SKIPPED_HEADINGS = ['Relevant Documents:', 'Cited Documents:'];
const PLAIN_HEADING = 'Answer:';
const GROUNDED_HEADING = 'Grounded answer:';

/**
 * Reads answers of every form: what they have in common is that an answer is thought, then text, in which calls may open.
 *
 * What stands at a place is asked of the form by way of a `Scan`, which throws `MORE` as long as the text doesn't say. What
 * is undecided is held and asked about again when more has come, so the outcome doesn't depend on how the text is split.
 * Whatever turns out to be no call is text: nothing gets lost but marks and the blanks around them.
 */
export class FormReader implements AnswerReader {
  readonly #form: Form;
  readonly #plan: ReadingPlan;
  readonly #names: ReadonlySet<string>;
  readonly #callable: (name: string) => boolean;
  /** Characters at which a text may have a mark. */
  readonly #candidates: RegExp | undefined;

  /** The marks around the reasoning, while it is read. */
  #reasoningMarks: ReasoningMarks | undefined;
  #closing: RegExp | undefined;

  /** What was pushed from `#base` on, of which `#at` characters are decided. */
  #text = '';
  #base = 0;
  #at = 0;
  #phase: Phase;
  #draft = new ContentDraft();

  /** It is read not for the first time, and nothing has come of it yet. */
  #thoughtAgain = false;
  /** Blanks are dropped until something else comes. */
  #trimming = false;
  /** Nothing but blanks came since the last call. */
  #afterCall = false;
  /** Nothing but blanks stands before on the line. */
  #lineBegins = true;
  /** Code points of the text so far. */
  #codePoints = 0;
  /** Where what is cited begins, in code points. */
  #citedFrom: number | undefined;
  #sourcesLeft = CITED_SOURCES_MAX;
  /** An answer that is written twice: first plain, then with its sources. */
  #grounded: GroundedAnswer | undefined;
  /** The second time has begun. */
  #repeating = false;

  /** Where the head that is being read begins: blanks, then what opens the call. Both may be empty. */
  #headBlanks = 0;
  #headOpening = 0;
  #head: CallHead | undefined;
  #arguments: ArgumentsReader | undefined;
  #calls = 0;
  /** The call that is read is none that the caller hears of. */
  #silent = false;

  #binding: Binding | undefined;
  /** What binds from where (in all that was pushed) once this push is read. */
  #toBind: { readonly grammar: string; readonly from: number } | undefined;

  constructor(form: Form, plan: ReadingPlan) {
    this.#form = form;
    this.#plan = plan;
    this.#phase = plan.begin;
    this.#names = new Set(plan.tools);
    this.#callable = (name) => this.#names.has(name) || form.declining.includes(name);
    const called = plan.tools.length > 0 ? form.calls.begins : '';
    const headed = plan.citations?.headings === true ? GROUNDED_HEADING[0] : '';
    this.#candidates = oneOf(called + headed + this.#cited + form.dropped.map(([character]) => character).join(''));
    if (plan.begin === 'reasoning') this.#beginReasoning(form.reasoning[plan.opened ?? 0]!);
    const { first } = plan.bindings;
    if (plan.begin !== 'reasoning' && first !== undefined) this.#binding = { grammar: first, derived: '' };
  }

  get #cited(): string {
    return this.#plan.citations === undefined ? '' : '<';
  }

  get reasoning(): boolean {
    return this.#phase === 'reasoning';
  }

  get calls(): number {
    return this.#calls;
  }

  get binding(): Binding | undefined {
    return this.#binding;
  }

  push(text: string): ReadContent {
    this.#text += text;
    this.#read(false);
    if (this.#toBind !== undefined) {
      const { grammar, from } = this.#toBind;
      this.#binding = { grammar, derived: this.#text.slice(from - this.#base) };
      this.#toBind = undefined;
    }
    return this.#give();
  }

  end(): ReadContent {
    this.#read(true);
    return this.#give();
  }

  #give(): ReadContent {
    this.#base += this.#at;
    this.#text = this.#text.slice(this.#at);
    this.#at = 0;
    const content = this.#draft.content(this.#base);
    this.#draft = new ContentDraft();
    return content;
  }

  #read(ended: boolean): void {
    while (this.#at < this.#text.length || ended) {
      const before = this.#phase;
      const from = this.#at;
      try {
        this.#step(ended);
      } catch (error) {
        if (error !== MORE) throw error;
        break;
      }
      if (this.#phase === before && this.#at === from) break;
    }
    if (ended && this.#phase === 'arguments') this.#cutArguments();
  }

  #cutArguments(): void {
    this.#addArguments(this.#arguments!.end());
    this.#at = this.#text.length;
  }

  /** Goes on by one part of the answer; throws `MORE` where what comes next is not decided. */
  #step(ended: boolean): void {
    if (this.#phase === 'start') this.#readStart(ended);
    else if (this.#phase === 'headings') this.#readHeading(ended);
    else if (this.#phase === 'head') this.#readHead(ended);
    else if (this.#phase === 'arguments') this.#readArguments();
    else if (this.#phase === 'tail') this.#readTail(ended);
    else this.#readRun(ended);
  }

  #scan(at: number, charactersMax: number, ended: boolean): Scan {
    return new Scan(this.#text, at, at + charactersMax, ended);
  }

  #readStart(ended: boolean): void {
    const scan = this.#scan(this.#at, BLANKS_HELD_MAX + MARK_CHARACTERS_MAX, ended);
    scan.skipBlanks(BLANKS_HELD_MAX);
    const marks = this.#form.reasoning.find(({ open }) => scan.takes(open));
    if (marks !== undefined) {
      this.#at = scan.at;
      this.#beginReasoning(marks);
    } else {
      this.#phase = this.#plan.citations?.headings === true ? 'headings' : 'text';
    }
  }

  #beginReasoning(marks: ReasoningMarks): void {
    this.#phase = 'reasoning';
    this.#thoughtAgain = this.#reasoningMarks !== undefined;
    this.#reasoningMarks = marks;
    this.#closing = oneOf(marks.close[0] + this.#cited);
    this.#trimming = true;
    this.#free();
  }

  /** Nothing binds what comes next. */
  #free(): void {
    this.#binding = undefined;
    this.#toBind = undefined;
  }

  /** One heading of an answer that is to name its documents first; without any, all of it is text. */
  #readHeading(ended: boolean): void {
    const scan = this.#scan(this.#at, HEAD_CHARACTERS_MAX, ended);
    scan.skipBlanks();
    if (scan.takesOneOf(SKIPPED_HEADINGS) && scan.takeUntil('\n') !== undefined) {
      this.#at = scan.at;
      return;
    }
    const plain = scan.takes(PLAIN_HEADING);
    if (plain || scan.takes(GROUNDED_HEADING)) {
      this.#at = scan.at;
      this.#trimming = true;
    }
    if (plain) this.#grounded = new GroundedAnswer();
    this.#phase = 'text';
  }

  /** Text or reasoning, up to the next mark. */
  #readRun(ended: boolean): void {
    const candidates = this.#phase === 'text' ? this.#candidates : this.#closing;
    for (let at = next(candidates, this.#text, this.#at); at !== undefined; at = next(candidates, this.#text, at + 1)) {
      const scan = this.#scan(at, MARK_CHARACTERS_MAX, ended);
      try {
        if (this.#takeMark(scan, at)) return;
      } catch (error) {
        if (error === MORE) this.#show(this.#blanksBefore(at));
        throw error;
      }
    }
    this.#showRest(ended);
  }

  /** Shows what can't belong to a mark any more. */
  #showRest(ended: boolean): void {
    const { length } = this.#text;
    const blanks = this.#blanksBefore(length);
    // Blanks at the end of a text are text, unless they only end the last call.
    const kept = ended ? this.#phase === 'text' && !this.#afterCall : !this.#blanksMayGo;
    this.#show(kept ? length : blanks);
    if (ended) this.#at = length;
  }

  get #blanksMayGo(): boolean {
    return this.#phase === 'reasoning' || this.#plan.tools.length > 0 || this.#grounded !== undefined;
  }

  /** Where the blanks before `at` begin, as far as they are held. */
  #blanksBefore(at: number): number {
    const earliest = Math.max(this.#at, at - BLANKS_HELD_MAX);
    let from = at;
    while (from > earliest && BLANK.test(this.#text[from - 1]!)) from--;
    return from;
  }

  #takeMark(scan: Scan, at: number): boolean {
    if (this.#takeCitation(scan, at)) return true;
    return this.#phase === 'text' ? this.#takeTextMark(scan, at) : this.#takeClosing(scan, at);
  }

  /** Of what has not been shown yet. */
  #onlyBlanksBefore(at: number): boolean {
    let from = at;
    while (from > this.#at && BLANK.test(this.#text[from - 1]!)) from--;
    return from === this.#at;
  }

  #takeCitation(scan: Scan, at: number): boolean {
    const { citations } = this.#plan;
    if (citations === undefined || this.#form.citations === undefined) return false;
    const mark = takeCitationMark(scan, this.#form.citations, citations);
    if (mark === undefined) return false;
    this.#show(at);
    this.#at = scan.at;
    // What was thought is told without its sources.
    if (this.#phase === 'reasoning') return true;
    if (mark === 'opens') this.#openCitation();
    else this.#closeCitation(mark);
    return true;
  }

  #openCitation(): void {
    if (this.#repeating) this.#grounded!.opens();
    else this.#citedFrom ??= this.#codePoints;
  }

  #closeCitation(sources: readonly CitationSource[]): void {
    const from = this.#citedFrom;
    this.#citedFrom = undefined;
    const plain = from === undefined || from === this.#codePoints ? undefined : { start: from, end: this.#codePoints };
    const passage = this.#repeating ? this.#grounded!.closes() : plain;
    this.#sourcesLeft -= sources.length;
    if (passage === undefined || sources.length === 0 || this.#sourcesLeft < 0) return;
    this.#draft.citations.push({ ...passage, sources });
  }

  #takeClosing(scan: Scan, at: number): boolean {
    const { open, close } = this.#reasoningMarks!;
    if (!scan.takes(close)) {
      // Some models open the reasoning once more that the prompt has opened.
      if (!this.#trimming || !this.#onlyBlanksBefore(at) || !scan.takes(open)) return false;
      this.#at = scan.at;
      return true;
    }
    this.#show(this.#blanksBefore(at));
    this.#at = scan.at;
    this.#phase = 'text';
    this.#trimming = true;
    this.#lineBegins = true;
    const { thought } = this.#plan.bindings;
    if (thought !== undefined) this.#bind(thought, this.#at);
    return true;
  }

  #takeTextMark(scan: Scan, at: number): boolean {
    if (this.#grounded !== undefined && this.#takeRepeat(scan, at)) return true;
    const opens = this.#mayCall && this.#form.calls.opens(scan, this.#place(at));
    if (opens !== false) {
      this.#openCalls(scan, at, opens === true);
      return true;
    }
    const marks = this.#form.thinksAgain && this.#form.reasoning.find(({ open }) => scan.takes(open));
    if (!marks && !scan.takesOneOf(this.#form.dropped)) return false;
    this.#show(at);
    this.#at = scan.at;
    if (marks) this.#beginReasoning(marks);
    return true;
  }

  #openCalls(scan: Scan, at: number, bound: boolean): void {
    const from = this.#blanksBefore(at);
    this.#show(from);
    this.#headBlanks = at - from;
    this.#headOpening = scan.at - at;
    this.#phase = 'head';
    const { call } = this.#plan.bindings;
    // A further call is within what binds already.
    if (bound && call !== undefined && this.#binding?.grammar !== call) this.#bind(call, at);
  }

  /** From `Grounded answer:` on, the answer is written once more. */
  #takeRepeat(scan: Scan, at: number): boolean {
    if (this.#repeating || !this.#place(at).lineBegins || !scan.takes(GROUNDED_HEADING)) return false;
    this.#show(this.#blanksBefore(at));
    this.#at = scan.at;
    this.#repeating = true;
    return true;
  }

  get #mayCall(): boolean {
    return this.#plan.tools.length > 0 && this.#calls < (this.#plan.parallelCalls ? TOOL_CALLS_MAX : 1);
  }

  #place(at: number): CallPlace {
    let from = at;
    while (from > this.#at && this.#text[from - 1] !== '\n' && BLANK.test(this.#text[from - 1]!)) from--;
    const lineBegins = from > this.#at ? this.#text[from - 1] === '\n' : this.#lineBegins;
    return { names: this.#names, callable: this.#callable, lineBegins };
  }

  #bind(grammar: string, at: number): void {
    this.#toBind = { grammar, from: this.#base + at };
  }

  #readHead(ended: boolean): void {
    const from = this.#at + this.#headBlanks + this.#headOpening;
    const scan = this.#scan(from, HEAD_CHARACTERS_MAX, ended);
    const head = this.#form.calls.head(scan, this.#place(this.#at));
    if (head === undefined) {
      // At least a character, so that it is not taken for an opening again.
      this.#giveUp(Math.min(Math.max(from, this.#at + this.#headBlanks + 1), this.#text.length));
    } else {
      this.#at = scan.at;
      this.#beginCall(head);
    }
  }

  /** No call after all: what seemed to open it is text. */
  #giveUp(from: number): void {
    this.#phase = 'text';
    this.#show(from);
    if (this.#plan.bindings.call !== undefined) this.#free();
  }

  #beginCall(head: CallHead): void {
    const { name, written } = head;
    this.#head = head;
    this.#silent = !this.#names.has(name);
    if (!this.#silent) this.#draft.call({ index: this.#calls++, name, arguments: '' });
    this.#phase = 'arguments';
    if (typeof written === 'string') {
      this.#arguments = openArguments(written, this.#plan.texts?.[name] ?? []);
    } else {
      this.#addArguments(written.whole);
      this.#phase = 'tail';
    }
  }

  #addArguments(json: string): void {
    if (json !== '' && !this.#silent) this.#draft.call({ index: this.#calls - 1, arguments: json });
  }

  #readArguments(): void {
    const { at, json, over } = this.#arguments!.read(this.#text, this.#at);
    this.#at = at;
    this.#addArguments(json);
    if (over) this.#phase = 'tail';
  }

  #readTail(ended: boolean): void {
    const scan = this.#scan(this.#at, HEAD_CHARACTERS_MAX, ended);
    const then = this.#form.calls.tail(scan, this.#head!);
    this.#at = scan.at;
    this.#afterCall = true;
    this.#trimming = this.#codePoints === 0;
    this.#lineBegins = true;
    this.#headBlanks = 0;
    this.#headOpening = 0;
    this.#phase = then === 'another' && this.#mayCall ? 'head' : 'text';
  }

  /** What stands before `to` is for the caller. */
  #show(to: number): void {
    if (to === this.#at) return;
    let from = this.#at;
    this.#at = to;
    if (this.#trimming) while (from < to && BLANK.test(this.#text[from]!)) from++;
    if (from === to) return;
    const text = this.#text.slice(from, to);
    if (this.#repeating) {
      this.#grounded!.repeat(text);
      return;
    }
    this.#trimming = false;
    if (this.#phase === 'reasoning') {
      this.#draft.reasoning += this.#thoughtAgain ? `\n\n${text}` : text;
      this.#thoughtAgain = false;
      return;
    }
    this.#draft.show(text, this.#base + from);
    this.#grounded?.write(text);
    this.#noteText(text);
  }

  #noteText(text: string): void {
    const line = text.slice(text.lastIndexOf('\n') + 1);
    this.#lineBegins = line.trim() === '' && (this.#lineBegins || line.length < text.length);
    if (this.#afterCall && text.trim() !== '') this.#afterCall = false;
    this.#codePoints += codePointsIn(text);
  }
}

function openArguments(written: 'object' | 'string' | 'parameters', texts: readonly string[]): ArgumentsReader {
  if (written === 'object') return new ObjectArguments();
  return written === 'string' ? new StringArguments() : new ParameterArguments(new Set(texts));
}

function oneOf(characters: string): RegExp | undefined {
  if (characters === '') return undefined;
  return new RegExp(
    `[${[...new Set(characters)].map((character) => `\\u{${character.codePointAt(0)!.toString(16)}}`).join('')}]`,
    'gu',
  );
}

function next(characters: RegExp | undefined, text: string, from: number): number | undefined {
  if (characters === undefined) return undefined;
  characters.lastIndex = from;
  return characters.exec(text)?.index;
}
