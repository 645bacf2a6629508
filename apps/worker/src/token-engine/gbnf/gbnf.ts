/**
 * A grammar that was read: every repetition is written out, every group is a rule of its own.
 *
 * The form is the one llama.cpp works on, so that counting what we would do says what it would do.
 */
export interface Gbnf {
  readonly rules: readonly GbnfRule[];
  /** The index of the rule `root`. */
  readonly root: number;
}

export interface GbnfRule {
  /** The name in the text; a group or a repetition has the name of the rule it stands in. */
  readonly name: string;
  /** Whether it stands in the text under its name, rather than as a group or a repetition. */
  readonly named: boolean;
  readonly alternatives: readonly (readonly GbnfElement[])[];
}

export type GbnfElement = GbnfCharacters | GbnfReference;

/** One character of a set. */
export interface GbnfCharacters {
  readonly kind: 'characters';
  /** Code points, as pairs of first and last; in rising order, apart from each other. Empty: nothing can follow. */
  readonly ranges: readonly number[];
  /** Characters and ranges as they stand in the text, each of which llama.cpp compares with. */
  readonly members: number;
}

/** What another rule derives. */
export interface GbnfReference {
  readonly kind: 'rule';
  readonly rule: number;
}

/** What a grammar may cost. Each is checked before anything of that size is built. */
export interface GbnfLimits {
  /** UTF-8 bytes. */
  readonly textBytesMax: number;
  /** Parentheses within parentheses. */
  readonly depthMax: number;
  /** Rules that stand in the text. */
  readonly rulesMax: number;
  /** Characters, members of sets, and references of all rules, with repetitions written out. */
  readonly elementsMax: number;
}

/** For grammars that a caller sends. */
export const GBNF_LIMITS: GbnfLimits = {
  textBytesMax: 65_536,
  depthMax: 64,
  rulesMax: 2_000,
  elementsMax: 20_000,
};

/** For grammars that we make ourselves from a JSON schema, which has limits of its own. */
export const COMPILED_GBNF_LIMITS: GbnfLimits = {
  textBytesMax: 2_097_152,
  depthMax: 64,
  rulesMax: 60_000,
  elementsMax: 400_000,
};

/** llama.cpp's own bound for `{m,n}`; beyond it, it would take the upper one for "any number". */
export const GBNF_REPETITIONS_MAX = 2_000;

/** The last code point there is. */
export const CODE_POINT_MAX = 0x10ffff;
