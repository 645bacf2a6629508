type Variables = Readonly<Record<string, unknown>>;

/**
 * What Cohere's templates ask for to learn whether the model should cite: Command-R and R+, R7B, North. Without it they
 * show the documents, and the answer says nothing of where it comes from.
 */
const CITING: readonly { readonly asked: RegExp; readonly variables: Variables }[] = [
  // `fast` would leave out the answer without marks that comes first; Cohere's own default is this.
  { asked: /\bcitation_mode\b/, variables: { citation_mode: 'accurate' } },
  { asked: /\benable_citations\b/, variables: { enable_citations: true } },
  { asked: /\bgrounding\s*\|\s*default\b/, variables: { grounding: 'enabled' } },
];

/** Variables for a prompt with documents; a caller's own come before them. */
export function documentVariables(template: string): Variables {
  return Object.assign({}, ...CITING.filter(({ asked }) => asked.test(template)).map(({ variables }) => variables));
}
