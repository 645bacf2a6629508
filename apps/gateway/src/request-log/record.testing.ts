import { randomUUID } from 'node:crypto';
import type { RequestRecord } from '../vocabulary.js';

/** The record of a chat that was answered, but for what a test says. */
export function aRecord(changes: Partial<RequestRecord> = {}): RequestRecord {
  return {
    recordId: randomUUID(),
    arrivedAtMs: Date.now(),
    requestId: 'req_1',
    traceId: undefined,
    keyId: 'key_a',
    keyName: 'a key',
    parameters: { max_tokens: 8 },
    cached: false,
    continued: false,
    contents: undefined,
    endpoint: 'chat',
    model: 'demo',
    stream: true,
    outcome: 'served',
    code: undefined,
    limit: undefined,
    status: 200,
    worker: '127.0.0.1:1',
    attempts: 1,
    promptTokens: 7,
    completionTokens: 3,
    cachedTokens: 2,
    reasoningTokens: 0,
    waitedMs: 0.1,
    firstTokenMs: 12.3456,
    perTokenMs: 4,
    totalMs: 30,
    overheadMs: 0.5,
    ...changes,
  };
}
