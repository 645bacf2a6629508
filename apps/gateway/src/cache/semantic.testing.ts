import type { Call, Caller } from '../vocabulary.js';
import { ANYONE } from '../vocabulary.js';
import { aRequest } from './cache.testing.js';
import type { QuestionVector, QuestionVectors } from './question-vectors.js';

export function aCall(keyId?: string, requestId = 'request'): Call {
  const caller: Caller = { ...ANYONE, keyId };
  return {
    requestId,
    caller,
    bodyBytes: 100,
    deadlineMs: undefined,
    tell: () => {},
    notOurs: () => {},
    arrivedMs: 0,
    clientLeft: new AbortController().signal,
    trace: undefined,
  };
}

export function aChat(question: unknown, earlier: readonly object[] = [], more: object = {}) {
  const messages = [...(earlier as Record<string, unknown>[]), { role: 'user', content: question }];
  return aRequest({ prompts: [{ kind: 'chat', messages, tools: [], templateVariables: {}, ...more }] });
}

/** Takes all questions for the same, so that nothing but the guard tells them apart. */
export class PretendVectors implements QuestionVectors {
  asked = 0;
  /** Of those under way at one time. */
  most = 0;
  model = 'pretend';
  mishap: 'none' | 'broken' | 'silent' | undefined;
  #underWay = 0;

  async vectorOf(_question: string, _requestId: string, signal: AbortSignal): Promise<QuestionVector | undefined> {
    this.asked++;
    this.#underWay++;
    this.most = Math.max(this.most, this.#underWay);
    try {
      if (this.mishap === 'silent')
        await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
      if (this.mishap === 'broken') throw new Error('The worker broke.');
      return this.mishap === 'none' ? undefined : { model: this.model, vector: new Float32Array([0.6, 0.8]) };
    } finally {
      this.#underWay--;
    }
  }
}
