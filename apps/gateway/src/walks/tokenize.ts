import { isUtf8 } from 'node:buffer';
import type { AppliedTemplateBody, DetokenizedBody, Tokenized, TokenizedBody } from '@millrace/contracts';
import type { OpenRecord, RequestLog } from '../request-log/request-log.js';
import type { ModelCatalog } from '../validation/model-catalog.js';
import {
  parseDetokenizeRequest,
  parseTemplateRequest,
  parseTokenizeRequest,
} from '../validation/parse-tokenize-request.js';
import type { Call, ValidTokenizeRequest } from '../vocabulary.js';
import type { DoWork } from './do-work.js';
import { modelsFor } from './models-for.js';

/** POST /tokenize, /detokenize and /apply-template: what a model would be given, without asking it anything. */
export class Tokenize {
  constructor(
    private readonly models: ModelCatalog,
    private readonly requestLog: RequestLog,
    private readonly work: DoWork,
  ) {}

  async tokenize(body: unknown, call: Call): Promise<TokenizedBody> {
    const record = this.requestLog.open('tokenize', call);
    const { request, result } = await this.#work(call, record, (models) => parseTokenizeRequest(body, models));
    return tokenizedBody(request, result);
  }

  /** The tokens of a prompt that was said in whoever's words. */
  async count(call: Call, parse: (models: ModelCatalog) => ValidTokenizeRequest): Promise<number> {
    const record = this.requestLog.open('tokenize', call);
    const { result } = await this.#work(call, record, parse);
    return result.tokens.length;
  }

  async detokenize(body: unknown, call: Call): Promise<DetokenizedBody> {
    const record = this.requestLog.open('detokenize', call);
    const { result } = await this.work.run(call, record, {
      parse: () => parseDetokenizeRequest(body, modelsFor(call.caller, this.models)),
      ask:
        ({ tokens }) =>
        (worker, heading, signal) =>
          worker.detokenize({ ...heading, tokens }, signal),
    });
    return { content: result };
  }

  async applyTemplate(body: unknown, call: Call): Promise<AppliedTemplateBody> {
    const record = this.requestLog.open('apply_template', call);
    const { result } = await this.work.run(call, record, {
      parse: () => parseTemplateRequest(body, modelsFor(call.caller, this.models)),
      ask:
        ({ prompt }) =>
        (worker, heading, signal) =>
          worker.renderPrompt({ ...heading, prompt }, signal),
    });
    return { prompt: result };
  }

  #work(call: Call, record: OpenRecord, parse: (models: ModelCatalog) => ValidTokenizeRequest) {
    return this.work.run(call, record, {
      parse: () => parse(modelsFor(call.caller, this.models)),
      ask:
        ({ prompt, addSpecial, parseSpecial }) =>
        (worker, heading, signal) =>
          worker.tokenize({ ...heading, prompt, addSpecial, parseSpecial }, signal),
    });
  }
}

function tokenizedBody({ model, withPieces }: ValidTokenizeRequest, { tokens, pieces }: Tokenized): TokenizedBody {
  return {
    tokens: withPieces ? tokens.map((id, index) => ({ id, piece: pieceOf(pieces[index]!) })) : [...tokens],
    count: tokens.length,
    max_model_len: model.contextLength,
  };
}

/** A token may be a part of a character, which is no text. llama-server shows its bytes, and so do we. */
function pieceOf(bytes: Uint8Array): string | number[] {
  return isUtf8(bytes) ? Buffer.from(bytes).toString() : [...bytes];
}
