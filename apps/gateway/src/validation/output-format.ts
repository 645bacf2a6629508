import { type ChatRequestBody, InferenceError, type OutputFormat, type TextRequestBody } from '@millrace/contracts';

type Body = Pick<ChatRequestBody | TextRequestBody, 'response_format' | 'grammar'>;

/** llama.cpp's parser goes as deep as a grammar does; the worker looks at that, here only at the size. */
const GRAMMAR_BYTES_MAX = 65_536;

/** What the text of the answer must be; undefined if anything will do. The worker reads the schema or the grammar. */
export function outputFormatOf({ response_format: asked, grammar }: Body): OutputFormat | undefined {
  const format = asked?.type === 'text' ? undefined : asked;
  if (grammar != null) {
    if (format) throw twoFormats(format.type);
    checkGrammarSize(grammar);
    return { kind: 'grammar', grammar };
  }
  if (format == null) return undefined;
  const schema = format.type === 'json_schema' ? format.json_schema.schema : format.schema;
  return schema == null ? { kind: 'json' } : { kind: 'schema', schema };
}

function checkGrammarSize(grammar: string): void {
  const bytes = Buffer.byteLength(grammar);
  if (bytes <= GRAMMAR_BYTES_MAX) return;
  const [given, limit] = [bytes, GRAMMAR_BYTES_MAX].map((number) => number.toLocaleString('en'));
  throw new InferenceError(
    'invalid_request',
    `\`grammar\` has ${given} bytes; ${limit} are allowed. Write it with fewer or shorter rules.`,
    { param: 'grammar' },
  );
}

function twoFormats(type: string): InferenceError {
  return new InferenceError(
    'invalid_request',
    `\`grammar\` is given together with a \`response_format\` of type ${type}; an answer can obey only one. Leave one of them out.`,
    { param: 'grammar' },
  );
}
