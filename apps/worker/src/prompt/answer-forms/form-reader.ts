import type { CallDelta, Citation } from '@millrace/contracts';
import type { AnswerReader, Binding, ReadContent } from '../answer-reader.js';
import { type ArgumentsReader, ObjectArguments, StringArguments } from './arguments-reader.js';
import type { CallHead, CallPlace } from './call-syntax.js';
import { type CitationMarks, openCitationMarks } from './citation-marks.js';
import type { Form } from './forms.js';
import type { ReadingPlan } from './reading-plan.js';
import { MORE, Scan } from './scan.js';

/** Blanks before a mark belong to it; of a longer run, the first ones are text. */
export const BLANKS_HELD_MAX = 64;
/** Characters of what opens a call, of a citation's mark, or of what closes the reasoning. */
export const MARK_CHARACTERS_MAX = 256;
/** Characters of a call before its arguments. More, and it is none. */
export const HEAD_CHARACTERS_MAX = 8_192;

const BLANK = /\s/;

type Phase = 'start' | 'reasoning' | 'text' | 'head' | 'arguments' | 'tail';

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
  readonly #citations: CitationMarks | undefined;
  readonly #names: ReadonlySet<string>;
  /** Characters at which text or reasoning may have a mark. */
  readonly #candidates: RegExp | undefined;
  readonly #closing: RegExp | undefined;

  /** What was pushed from `#base` on, of which `#at` characters are decided. */
  #text = '';
  #base = 0;
  #at = 0;
  #phase: Phase;
  #draft = new ContentDraft();

  /** Blanks are dropped until something else comes. */
  #trimming = false;
  /** Nothing but blanks came since the last call. */
  #afterCall = false;
  /** Nothing but blanks stands before on the line. */
  #lineBegins = true;
  /** Code points of the text so far. */
  #codePoints = 0;

  /** Where the head that is being read begins: blanks, then what opens the call. Both may be empty. */
  #headBlanks = 0;
  #headOpening = 0;
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
    this.#citations = plan.citations && openCitationMarks(form, plan.citations);
    const cited = this.#citations?.begins ?? '';
    const called = plan.tools.length > 0 ? form.calls.begins : '';
    this.#candidates = oneOf(called + cited + form.dropped.map(([first]) => first).join(''));
    this.#closing = oneOf(form.reasoning.close[0] + cited);
    const { first } = plan.bindings;
    if (plan.begin !== 'reasoning' && first !== undefined) this.#binding = { grammar: first, derived: '' };
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
        return;
      }
      if (this.#phase === before && this.#at === from) return;
    }
  }

  /** Goes on by one part of the answer; throws `MORE` where what comes next is not decided. */
  #step(ended: boolean): void {
    if (this.#phase === 'start') this.#readStart(ended);
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
    scan.skipBlanks();
    if (scan.takesOneOf(this.#form.reasoning.opens)) {
      this.#at = scan.at;
      this.#beginReasoning();
    } else {
      this.#phase = 'text';
    }
  }

  #beginReasoning(): void {
    this.#phase = 'reasoning';
    this.#trimming = true;
    this.#binding = undefined;
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
    return this.#phase === 'reasoning' || this.#plan.tools.length > 0;
  }

  /** Where the blanks before `at` begin, as far as they are held. */
  #blanksBefore(at: number): number {
    const earliest = Math.max(this.#at, at - BLANKS_HELD_MAX);
    let from = at;
    while (from > earliest && BLANK.test(this.#text[from - 1]!)) from--;
    return from;
  }

  #takeMark(scan: Scan, at: number): boolean {
    if (this.#citations?.takes(scan)) {
      this.#show(at);
      const citation = this.#citations.read(this.#codePoints);
      if (citation !== undefined && this.#phase === 'text') this.#draft.citations.push(citation);
      this.#at = scan.at;
      return true;
    }
    return this.#phase === 'text' ? this.#takeTextMark(scan, at) : this.#takeClosing(scan, at);
  }

  #takeClosing(scan: Scan, at: number): boolean {
    const { close, opens } = this.#form.reasoning;
    if (!scan.takes(close)) {
      // Some models open the reasoning once more that the prompt has opened.
      if (!this.#trimming || !scan.takesOneOf(opens)) return false;
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
    if (scan.takesOneOf(this.#form.dropped)) {
      this.#show(at);
      this.#at = scan.at;
      return true;
    }
    if (!this.#mayCall || !this.#form.calls.opens(scan, this.#place(at))) return false;
    const from = this.#blanksBefore(at);
    this.#show(from);
    this.#headBlanks = at - from;
    this.#headOpening = scan.at - at;
    this.#phase = 'head';
    const { call } = this.#plan.bindings;
    // A further call is within what binds already.
    if (call !== undefined && this.#binding?.grammar !== call) this.#bind(call, at);
    return true;
  }

  get #mayCall(): boolean {
    return this.#plan.tools.length > 0 && (this.#plan.parallelCalls || this.#calls === 0);
  }

  #place(at: number): CallPlace {
    let from = at;
    while (from > this.#at && this.#text[from - 1] !== '\n' && BLANK.test(this.#text[from - 1]!)) from--;
    const lineBegins = from > this.#at ? this.#text[from - 1] === '\n' : this.#lineBegins;
    return { names: this.#names, lineBegins };
  }

  #bind(grammar: string, at: number): void {
    this.#toBind = { grammar, from: this.#base + at };
  }

  #readHead(ended: boolean): void {
    const from = this.#at + this.#headBlanks + this.#headOpening;
    const scan = this.#scan(from, HEAD_CHARACTERS_MAX, ended);
    const head = this.#form.calls.head(scan, this.#place(this.#at));
    if (head === undefined) {
      this.#giveUp(from);
    } else {
      this.#at = scan.at;
      this.#beginCall(head);
    }
  }

  /** No call after all: what seemed to open it is text. */
  #giveUp(from: number): void {
    this.#phase = 'text';
    this.#show(from);
    if (this.#plan.bindings.call === undefined) return;
    this.#binding = undefined;
    this.#toBind = undefined;
  }

  #beginCall({ name, written }: CallHead): void {
    this.#silent = !this.#names.has(name);
    if (!this.#silent) this.#draft.call({ index: this.#calls++, name, arguments: '' });
    this.#phase = 'arguments';
    if (typeof written === 'string') {
      this.#arguments = written === 'object' ? new ObjectArguments() : new StringArguments();
      return;
    }
    this.#addArguments(written.whole);
    this.#phase = 'tail';
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
    const then = this.#form.calls.tail(scan, this.#place(this.#at));
    this.#at = scan.at;
    if (then === 'another' && this.#mayCall) {
      this.#headBlanks = 0;
      this.#headOpening = 0;
      this.#phase = 'head';
      return;
    }
    this.#phase = 'text';
    this.#afterCall = true;
    this.#trimming = this.#codePoints === 0;
    this.#lineBegins = true;
  }

  /** What stands before `to` is for the caller. */
  #show(to: number): void {
    if (to === this.#at) return;
    let from = this.#at;
    this.#at = to;
    if (this.#trimming) while (from < to && BLANK.test(this.#text[from]!)) from++;
    if (from === to) return;
    this.#trimming = false;
    const text = this.#text.slice(from, to);
    if (this.#phase === 'reasoning') {
      this.#draft.reasoning += text;
      return;
    }
    this.#draft.show(text, this.#base + from);
    this.#noteText(text);
  }

  #noteText(text: string): void {
    const line = text.slice(text.lastIndexOf('\n') + 1);
    this.#lineBegins = line.trim() === '' && (this.#lineBegins || line.length < text.length);
    if (this.#afterCall && text.trim() !== '') this.#afterCall = false;
    this.#codePoints += codePointsIn(text);
  }
}

/** What one push brings. */
class ContentDraft {
  text = '';
  reasoning = '';
  readonly citations: Citation[] = [];
  readonly #calls: CallDelta[] = [];
  readonly #shown: [from: number, to: number][] = [];

  show(text: string, from: number): void {
    this.text += text;
    const last = this.#shown.at(-1);
    if (last?.[1] === from) last[1] += text.length;
    else this.#shown.push([from, from + text.length]);
  }

  call(delta: CallDelta): void {
    const last = this.#calls.at(-1);
    if (last === undefined || last.index !== delta.index) this.#calls.push(delta);
    else this.#calls[this.#calls.length - 1] = { ...last, arguments: last.arguments + delta.arguments };
  }

  content(decided: number): ReadContent {
    return {
      text: this.text,
      ...(this.reasoning === '' ? {} : { reasoning: this.reasoning }),
      ...(this.#calls.length === 0 ? {} : { calls: this.#calls }),
      ...(this.citations.length === 0 ? {} : { citations: this.citations }),
      shown: this.#shown,
      decided,
    };
  }
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

/** Counts a pair of surrogates once, also where the pieces of a text are split between the two. */
function codePointsIn(text: string): number {
  let count = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code < 0xdc00 || code > 0xdfff) count++;
  }
  return count;
}
