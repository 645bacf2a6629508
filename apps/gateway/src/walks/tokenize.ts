import { isUtf8 } from 'node:buffer';
import type { AppliedTemplateBody, DetokenizedBody, Tokenized, TokenizedBody } from '@millrace/contracts';
import type { ModelCatalog } from '../validation/model-catalog.js';
import {
  parseDetokenizeRequest,
  parseTemplateRequest,
  parseTokenizeRequest,
} from '../validation/parse-tokenize-request.js';
import type { Call, ValidTokenizeRequest } from '../vocabulary.js';
import type { DoWork } from './do-work.js';

/** POST /tokenize, /detokenize and /apply-template: what a model would be given, without asking it anything. */
export class Tokenize {
  constructor(
    private readonly models: ModelCatalog,
    private readonly work: DoWork,
  ) {}

  async tokenize(body: unknown, call: Call): Promise<TokenizedBody> {
    const { request, result } = await this.work.run(
      {
        endpoint: 'tokenize',
        parse: () => parseTokenizeRequest(body, this.models),
        ask:
          ({ prompt, addSpecial, parseSpecial }) =>
          (worker, heading, signal) =>
            worker.tokenize({ ...heading, prompt, addSpecial, parseSpecial }, signal),
      },
      call,
    );
    return tokenizedBody(request, result);
  }

  async detokenize(body: unknown, call: Call): Promise<DetokenizedBody> {
    const { result: content } = await this.work.run(
      {
        endpoint: 'detokenize',
        parse: () => parseDetokenizeRequest(body, this.models),
        ask:
          ({ tokens }) =>
          (worker, heading, signal) =>
            worker.detokenize({ ...heading, tokens }, signal),
      },
      call,
    );
    return { content };
  }

  async applyTemplate(body: unknown, call: Call): Promise<AppliedTemplateBody> {
    const { result: prompt } = await this.work.run(
      {
        endpoint: 'apply_template',
        parse: () => parseTemplateRequest(body, this.models),
        ask:
          ({ prompt }) =>
          (worker, heading, signal) =>
            worker.renderPrompt({ ...heading, prompt }, signal),
      },
      call,
    );
    return { prompt };
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
