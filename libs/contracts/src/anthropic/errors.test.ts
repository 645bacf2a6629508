import { describe, expect, it } from 'vitest';
import { ERROR_CATALOG, type ErrorCode, InferenceError, toOpenAiResponse } from '../errors/inference-error.js';
import { anthropicErrorSchema, toAnthropicResponse } from './errors.js';

describe('a failure in Anthropic’s shape', () => {
  it.each(Object.keys(ERROR_CATALOG) as ErrorCode[])(
    'has the status and headers that it has in OpenAI’s: %s',
    (code) => {
      const error = new InferenceError(code, 'It failed.', { limit: 'daily_budget', retryAfterSeconds: 3 });
      const { status, headers, body } = toAnthropicResponse(error, 'req_1');
      expect({ status, headers }).toEqual({ ...toOpenAiResponse(error), body: undefined });
      const { request_id, error: said } = anthropicErrorSchema.parse(body);
      expect([request_id, said.message, said.details.error_code]).toEqual(['req_1', 'It failed.', code]);
    },
  );

  it.each([
    ['invalid_request', 'invalid_request_error'],
    ['invalid_api_key', 'authentication_error'],
    ['model_not_allowed', 'permission_error'],
    ['model_not_found', 'not_found_error'],
    ['unknown_url', 'not_found_error'],
    ['method_not_allowed', 'invalid_request_error'],
    ['request_timeout', 'timeout_error'],
    ['batch_over', 'conflict_error'],
    ['request_too_large', 'request_too_large'],
    ['unsupported_media_type', 'invalid_request_error'],
    ['rate_limit_exceeded', 'rate_limit_error'],
    ['insufficient_quota', 'rate_limit_error'],
    ['internal_error', 'api_error'],
    ['upstream_failed', 'api_error'],
    ['model_failed', 'api_error'],
    ['model_not_ready', 'overloaded_error'],
    ['shutting_down', 'overloaded_error'],
    ['deadline_exceeded', 'timeout_error'],
    ['store_full', 'api_error'],
  ] as const)('is of a type that says whose fault it is: %s', (code, type) => {
    expect(toAnthropicResponse(new InferenceError(code, 'It failed.'), 'r').body.error.type).toBe(type);
  });

  it('tells a full server from a key that asked too much, by the type and not by the status', () => {
    const typeOf = (limit: 'queue' | 'upstream' | 'requests_per_minute') => {
      const { status, body } = toAnthropicResponse(new InferenceError('rate_limit_exceeded', 'x', { limit }), 'r');
      return [status, body.error.type];
    };
    expect(typeOf('queue')).toEqual([429, 'overloaded_error']);
    expect(typeOf('upstream')).toEqual([429, 'overloaded_error']);
    expect(typeOf('requests_per_minute')).toEqual([429, 'rate_limit_error']);
  });

  it('shows nothing of what nobody foresaw', () => {
    const { status, body } = toAnthropicResponse(new Error('secret'), 'r');
    expect([status, body.error.type]).toEqual([500, 'api_error']);
    expect(JSON.stringify(body)).not.toContain('secret');
  });
});
