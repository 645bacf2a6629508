import { isUtf8 } from 'node:buffer';
import type { BatchEndpoint } from '@millrace/contracts';
import { tooMuchInJson } from '@millrace/runtime';
import type { FileLine } from './read-lines.js';
import { storable } from './storable.js';

/** What stands in a line of a batch's input: a request, nothing, or something that can't be sent. */
export type BatchLine =
  | { readonly kind: 'blank' }
  | { readonly kind: 'request'; readonly customId: string; readonly body: object; readonly bodyBytes: number }
  | { readonly kind: 'broken'; readonly customId: string | null; readonly error: LineError; readonly isJson: boolean };

/** As it stands in the error file. `code` is OpenAI's where it has the case. */
export interface LineError {
  readonly code: string;
  readonly message: string;
  readonly param: string | null;
}

const FIELDS: ReadonlySet<string> = new Set(['custom_id', 'method', 'url', 'body']);
export const CUSTOM_ID_CHARACTERS_MAX = 512;

/** Everything about a line that can be told without its neighbours and without a model. */
export function readBatchLine(
  { content, bytes }: Pick<FileLine, 'content' | 'bytes'>,
  endpoint: BatchEndpoint,
  lineBytesMax: number,
): BatchLine {
  if (content === undefined)
    return broken(
      'line_too_long',
      `The line has ${inEnglish(bytes)} bytes; this server reads ${inEnglish(lineBytesMax)}. Ask for less in it, or raise bodyBytesMax.`,
    );
  if (!isUtf8(content)) return broken('invalid_json_line', 'The line is not UTF-8. Write the file in UTF-8.');
  const line = Buffer.from(content.buffer, content.byteOffset, content.length);
  const tooMuch = tooMuchInJson(line);
  if (tooMuch !== undefined) return broken('invalid_json_line', `This line ${tooMuch}`);
  const text = line.toString().trim();
  if (text === '') return { kind: 'blank' };
  try {
    return readObject(JSON.parse(text), endpoint, content.length);
  } catch (error) {
    const { message } = error as SyntaxError;
    return broken('invalid_json_line', `This line is not valid JSON: ${message.slice(0, 200)}`);
  }
}

function readObject(value: unknown, endpoint: BatchEndpoint, bytes: number): BatchLine {
  if (!isObject(value))
    return broken('invalid_json_line', 'This line is JSON, but no object. Write `{"custom_id": …}`.');
  const customId = customIdOf(value);
  const wrong = wrongIn(value, endpoint);
  if (wrong !== undefined) return { kind: 'broken', customId, error: readable(wrong), isJson: true };
  return { kind: 'request', customId: customId!, body: value.body as object, bodyBytes: bytes };
}

function customIdOf({ custom_id: id }: Fields): string | null {
  return typeof id === 'string' && id !== '' && id.length <= CUSTOM_ID_CHARACTERS_MAX ? id : null;
}

type Fields = Readonly<Record<string, unknown>>;

/** The first thing that is wrong; undefined: nothing that could be told here. */
function wrongIn(line: Fields, endpoint: BatchEndpoint): LineError | undefined {
  const unknown = Object.keys(line).find((name) => !FIELDS.has(name));
  if (customIdOf(line) === null)
    return line.custom_id === undefined
      ? missing('custom_id', 'a text of your own by which you find the answer')
      : wrongValue('custom_id', `must be a text of 1 to ${CUSTOM_ID_CHARACTERS_MAX} characters`);
  if (line.method !== 'POST') return wrongField(line, 'method', 'POST');
  if (line.url !== endpoint) return wrongField(line, 'url', endpoint);
  if (line.body === undefined) return missing('body', 'the request, as it would be sent by itself');
  if (!isObject(line.body))
    return wrongValue('body', 'must be a JSON object: the request, as it would be sent by itself');
  if (line.body.stream === true)
    return wrongValue('body.stream', 'is true, and nobody reads a stream here. Leave it out');
  if (unknown !== undefined)
    return {
      code: 'unknown_parameter',
      message: `\`${unknown.slice(0, 100)}\` is not known here; a line has ${[...FIELDS].join(', ')}.`,
      param: unknown.slice(0, 100),
    };
  return undefined;
}

function wrongField(line: Fields, name: 'method' | 'url', wanted: string): LineError {
  if (line[name] === undefined) return missing(name, `\`${wanted}\` in this batch`);
  const given = JSON.stringify(line[name])?.slice(0, 100);
  return {
    code: `invalid_${name}`,
    message: `\`${name}\` is ${given}, and must be ${JSON.stringify(wanted)} in this batch.`,
    param: name,
  };
}

function missing(name: string, what: string): LineError {
  return { code: 'missing_required_parameter', message: `\`${name}\` is missing: ${what}.`, param: name };
}

function wrongValue(param: string, why: string): LineError {
  return { code: 'invalid_request', message: `\`${param}\` ${why}.`, param };
}

function broken(code: string, message: string): BatchLine {
  return { kind: 'broken', customId: null, error: readable({ code, message, param: null }), isJson: false };
}

/** What is quoted of a line may be anything, and cut in the middle of a character. */
function readable({ code, message, param }: LineError): LineError {
  return { code, message: storable(message), param: param && storable(param) };
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function inEnglish(number: number): string {
  return number.toLocaleString('en');
}
