import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NO_PREFIX, type PromptPrefix, prefixOf } from './prompt-prefix.js';

const system = (text: string) => ({ role: 'system', content: text });
const user = (text: string) => ({ role: 'user', content: text });
const assistant = (text: string) => ({ role: 'assistant', content: text });
const chat = (messages: readonly object[], tools: readonly object[] = []) =>
  prefixOf(
    {
      kind: 'chat',
      messages: messages as Record<string, unknown>[],
      tools: tools as Record<string, unknown>[],
      templateVariables: {},
    },
    'm',
  );
const text = (content: string, seed = 'm') => prefixOf({ kind: 'text', text: content }, seed);

const keys = ({ points }: PromptPrefix) => points.map(({ key }) => key);
/** How far two have a beginning in common, as routing sees it. */
const common = (one: PromptPrefix, other: PromptPrefix) =>
  Math.max(0, ...one.points.filter(({ key }) => keys(other).includes(key)).map(({ chars }) => chars));
const letters = (length: number, seed = 1) =>
  Array.from({ length }, (_, at) => String.fromCharCode(97 + ((at * at * 31 + at * 7 + seed * 13) % 26))).join('');

const LONG = letters(3_000);

describe('the beginnings of a prompt', () => {
  it('are none where it is short', () => {
    expect(chat([system('Be kind.'), user('Hello')])).toEqual(NO_PREFIX);
    expect(text(letters(511)).anchor).toBeUndefined();
    expect(text(letters(512)).anchor).toBeDefined();
  });

  it('end where the turn before ended', () => {
    const first = [system(LONG), user('And now?')];
    const turn = chat(first);
    const next = chat([...first, assistant('This.'), user('And then?')]);
    const end = turn.points.at(-1)!;
    expect(end.kept).toBe(true);
    expect(keys(next)).toContain(end.key);
    expect(next.anchor).toBe(turn.anchor);
    expect(next.spread).toBe(turn.spread);
  });

  it('tell conversations of one kind apart, and know the kind', () => {
    const [one, other] = [chat([system(LONG), user('Of mills?')]), chat([system(LONG), user('Of rivers?')])];
    expect(one.anchor).toBe(other.anchor);
    expect(one.spread).not.toBe(other.spread);
    expect(common(one, other)).toBe(0);
  });

  it('are others for another system prompt, other tools, another model, another reasoning effort', () => {
    const tool = { type: 'function', function: { name: letters(600), parameters: { type: 'object' } } };
    const anchors = [
      chat([system(LONG), user('?')]),
      chat([system(`${LONG}!`), user('?')]),
      chat([system(LONG), user('?')], [tool]),
      prefixOf({ kind: 'chat', messages: [system(LONG), user('?')], tools: [], templateVariables: {} }, 'n'),
      prefixOf(
        {
          kind: 'chat',
          messages: [system(LONG), user('?')],
          tools: [],
          templateVariables: {},
          reasoningEffort: 'high',
        },
        'm',
      ),
    ].map(({ anchor }) => anchor);
    expect(new Set(anchors).size).toBe(anchors.length);
  });

  it('do not depend on how a text is cut into parts and members', () => {
    const values = (content: unknown) => chat([{ role: 'system', content }, user('?')]).anchor;
    expect(values([{ type: 'text', text: LONG }])).not.toBe(values([{ type: 'text', text: `${LONG}x` }]));
    expect(chat([system(LONG), user('?')], [{ a: ['ab', LONG] }]).anchor).not.toBe(
      chat([system(LONG), user('?')], [{ a: ['a', `b${LONG}`] }]).anchor,
    );
  });

  it('of texts are found up to two thirds at least of what they have in common', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1_024, max: 60_000 }), fc.integer({ min: 1, max: 2_000 }), (shared, own) => {
        const beginning = letters(shared);
        const found = common(text(`${beginning}${'1'.repeat(own)}`), text(`${beginning}${'2'.repeat(own)}`));
        expect(found).toBeLessThanOrEqual(shared + 16);
        expect(found).toBeGreaterThanOrEqual(shared < 1_024 * 0.75 ? 0 : Math.floor(shared * 0.66) - 16);
      }),
      { numRuns: 60 },
    );
  });

  it('are the same for tokens as they stand', () => {
    const tokens = Array.from({ length: 1_000 }, (_, at) => at * 7);
    const [one, longer] = [tokens, [...tokens, 1, 2, 3]].map((all) => prefixOf({ kind: 'tokens', tokens: all }, 'm'));
    expect(common(one!, longer!)).toBeGreaterThan(2_600);
  });

  it('are few, however long the prompt and however many its parts', () => {
    const crowd = Array.from({ length: 5_000 }, (_, at) => user(`${at} ${letters(200, at)}`));
    expect(chat(crowd).points.length).toBeLessThan(64);
    expect(text(letters(2_000_000)).points.length).toBeLessThan(32);
    let deep: unknown = 'x';
    for (let depth = 0; depth < 5_000; depth++) deep = [deep];
    expect(() => chat([system(LONG), { role: 'user', content: deep }])).not.toThrow();
  });

  it('are remembered by the end of a chat alone, but for a long message', () => {
    const kept = (prefix: PromptPrefix) => prefix.points.filter((point) => point.kept).length;
    expect(kept(chat([system(LONG), user('a'), assistant(letters(900)), user('b')]))).toBe(1);
    expect(kept(chat([system(LONG), user(letters(9_000))]))).toBeGreaterThan(3);
  });
});
