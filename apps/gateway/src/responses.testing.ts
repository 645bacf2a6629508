import type { ResponseEvent } from '@millrace/contracts';
import type { Script, ScriptedPiece, ScriptedToken } from './dispatch/fake-worker.testing.js';
import { eventsOf, TestBed } from './gateway.testing.js';
import { MemoryResponses } from './responses/memory-responses.testing.js';

/** A gateway that keeps responses in memory, and a worker that answers by a script. */
export async function startResponses(
  script: readonly ScriptedToken[] | Script | ((prompt: string) => Script),
  settings = {},
): Promise<{ bed: TestBed; store: MemoryResponses } & AsyncDisposable> {
  const store = new MemoryResponses();
  const scriptOf = (prompt: unknown): Script => {
    if (typeof script === 'function') return script(JSON.stringify(prompt));
    return Array.isArray(script) ? { answer: script as readonly ScriptedToken[] } : (script as Script);
  };
  const worker = { script: ({ prompt }: { readonly prompt?: unknown }) => scriptOf(prompt) };
  // With credit for one token, none of them can be merged with the next.
  const bed = await TestBed.start({ creditTokens: 1, ...settings }, [worker], true, undefined, { responses: store });
  return { bed, store, [Symbol.asyncDispose]: () => bed[Symbol.asyncDispose]() };
}

/** The events of a streamed response, each of which was sent under its own name. */
export async function streamedEvents(bed: TestBed, body: object): Promise<ResponseEvent[]> {
  const response = await bed.post('/v1/responses', { ...body, stream: true });
  return (await eventsOf(response)).map((text) => {
    const [, name, json] = /^event: (\S+)\ndata: (.*)$/s.exec(text) ?? [];
    const event = JSON.parse(json ?? `"${text}"`) as ResponseEvent;
    if (event.type !== name) throw new Error(`${name} is the name of ${json}`);
    return event;
  });
}

/** The messages that the worker was given, of its `nth` request. */
export function messagesOf(bed: TestBed, nth = 0): Record<string, unknown>[] {
  const prompt = bed.worker.started[nth]?.prompt as { value: { messagesJson: string } };
  return JSON.parse(prompt.value.messagesJson) as Record<string, unknown>[];
}

/** A call as a worker sends it: its name, then its arguments bit by bit. */
export function calling(index: number, name: string, ...bits: string[]): ScriptedPiece[] {
  return [
    { calls: [{ index, name, arguments: '' }] },
    ...bits.map((bit) => ({ calls: [{ index, name: '', arguments: bit }] })),
  ];
}
