import type { InputTokensBody } from '@millrace/contracts';
import type { RequestLog } from '../request-log/request-log.js';
import type { ModelCatalog } from '../validation/model-catalog.js';
import { checkInputTokensRequest, validInputTokens } from '../validation/parse-response-request.js';
import type { Call } from '../vocabulary.js';
import type { DoWork } from './do-work.js';
import { modelsFor } from './models-for.js';
import type { ResponseInputs } from './response-input.js';

/** POST /v1/responses/input_tokens: what a response would read, without asking a model for one. */
export class CountInputTokens {
  constructor(
    private readonly models: ModelCatalog,
    private readonly requestLog: RequestLog,
    private readonly work: DoWork,
    private readonly inputs: ResponseInputs,
  ) {}

  async run(body: unknown, call: Call): Promise<InputTokensBody> {
    const record = this.requestLog.open('tokenize', call);
    const { result } = await this.work.run(call, record, {
      parse: async () => {
        const asked = checkInputTokensRequest(body);
        const { all } = await this.inputs.find(asked, call.caller.keyId);
        return validInputTokens(asked, all, modelsFor(call.caller, this.models));
      },
      ask:
        ({ prompt, addSpecial, parseSpecial }) =>
        (worker, heading, signal) =>
          worker.tokenize({ ...heading, prompt, addSpecial, parseSpecial }, signal),
    });
    return { object: 'response.input_tokens', input_tokens: result.tokens.length };
  }
}
