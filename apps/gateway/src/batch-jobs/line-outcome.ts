import { toOpenAiResponse } from '@millrace/contracts';
import type { LineError } from './read-batch-line.js';

export interface LineUsage {
  readonly inputTokens: number;
  readonly cachedTokens: number;
  readonly outputTokens: number;
  readonly reasoningTokens: number;
}

export const NO_USAGE: LineUsage = { inputTokens: 0, cachedTokens: 0, outputTokens: 0, reasoningTokens: 0 };

/** What came of a line, as it will stand in the output file, or in the error file. */
export interface LineOutcome {
  readonly line: number;
  readonly answered: boolean;
  readonly text: string;
  readonly usage: LineUsage;
}

interface Place {
  readonly batchId: string;
  readonly line: number;
  readonly customId: string | null;
}

/** An answer as its endpoint gives it. */
export interface LineAnswer {
  readonly json: string;
  readonly usage: LineUsage;
}

/** Put together as text: an answer may hold a million numbers. */
export function answered(place: Place, requestId: string, { json, usage }: LineAnswer): LineOutcome {
  const response = `{"status_code":200,"request_id":${JSON.stringify(requestId)},"body":${json}}`;
  const text = `{"id":${JSON.stringify(idOf(place))},"custom_id":${JSON.stringify(place.customId)},"response":${response},"error":null}`;
  return { line: place.line, answered: true, text, usage };
}

/** The request was refused or failed, as it would have by itself. */
export function refused(place: Place, requestId: string, error: unknown): LineOutcome {
  const { status, body } = toOpenAiResponse(error);
  const response = { status_code: status, request_id: requestId, body };
  return failure(place, { response, error: null });
}

/** It was never sent. The line's number is an addition to what OpenAI tells. */
export function notSent(place: Place, { code, message, param }: LineError): LineOutcome {
  return failure(place, { response: null, error: { code, message, param, line: place.line } });
}

export const DUPLICATE_CUSTOM_ID: LineError = {
  code: 'duplicate_custom_id',
  message:
    'An earlier line of the file has this custom_id, and only that one is answered. Give each line one of its own.',
  param: 'custom_id',
};

export const BATCH_EXPIRED: LineError = {
  code: 'batch_expired',
  message: 'This request could not be executed before the completion window expired.',
  param: null,
};

function failure(place: Place, rest: object): LineOutcome {
  const text = JSON.stringify({ id: idOf(place), custom_id: place.customId, ...rest });
  return { line: place.line, answered: false, text, usage: NO_USAGE };
}

/** The same whenever it is made. */
function idOf({ batchId, line }: Place): string {
  return `batch_req_${batchId.replace(/^batch_/, '')}_${line}`;
}
