/** What a model's file says of the form of its prompts. */
export interface ModelTemplates {
  /** Tells these templates from all others, so that they need not be sent with every job. */
  readonly key: string;
  /** Jinja. Absent: ChatML, unless there are named ones. */
  readonly defaultTemplate: string | undefined;
  /** Further templates by name, such as `tool_use` and `rag`. */
  readonly namedTemplates: Readonly<Record<string, string>>;
  /** Texts of the tokens that templates ask for; empty where the model has none. */
  readonly beginningText: string;
  readonly endText: string;
}
