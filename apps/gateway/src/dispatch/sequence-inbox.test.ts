import { describe, expect, it } from 'vitest';
import { SequenceInbox } from './sequence-inbox.js';

const usage = { promptTokens: 1, completionTokens: 3, cachedTokens: 0 };
const begun = { kind: 'begun', promptTokens: 1, cachedTokens: 0, waitedMs: 0 } as const;
const finished = { kind: 'finished', reason: 'stop', usage } as const;

function open() {
  const leaving = new AbortController();
  const told: string[] = [];
  const controls = { read: (tokens: number) => told.push(`read ${tokens}`), cancel: () => told.push('cancel') };
  return { inbox: new SequenceInbox(controls, leaving.signal), leaving, told };
}

describe('SequenceInbox', () => {
  it('merges what nobody has asked for yet, and returns credit only for what was read', async () => {
    const { inbox, told } = open();
    inbox.begin(begun);
    inbox.add([1], 'a');
    inbox.deliver();
    inbox.add([2, 3], 'bc');
    inbox.deliver();
    expect((await inbox.next()).value).toEqual(begun);
    expect(told).toEqual([]);
    expect((await inbox.next()).value).toEqual({ kind: 'tokens', tokens: [1, 2, 3], text: 'abc' });
    expect(told).toEqual(['read 3']);
    inbox.finish(finished);
    inbox.deliver();
    expect((await inbox.next()).value).toEqual(finished);
    expect((await inbox.next()).done).toBe(true);
    expect(told).toEqual(['read 3']);
  });

  it('hands over what arrives while it is waited for', async () => {
    const { inbox } = open();
    const next = inbox.next();
    inbox.add([1], 'a');
    inbox.deliver();
    expect((await next).value).toMatchObject({ text: 'a' });
  });

  it('cancels once when its signal aborts, and throws why to who waits', async () => {
    const { inbox, leaving, told } = open();
    const next = inbox.next();
    leaving.abort(new Error('left'));
    await expect(next).rejects.toThrow('left');
    await inbox.return();
    expect(told).toEqual(['cancel']);
  });

  it('cancels once when its reader returns', async () => {
    const { inbox, leaving, told } = open();
    inbox.add([1], 'a');
    for await (const _event of inbox) break;
    leaving.abort(new Error('left'));
    expect(told).toEqual(['read 1', 'cancel']);
    expect((await inbox.next()).done).toBe(true);
  });

  it('cancels when the signal had aborted before it began', async () => {
    const leaving = new AbortController();
    leaving.abort(new Error('left'));
    const told: string[] = [];
    const inbox = new SequenceInbox({ read: () => {}, cancel: () => told.push('cancel') }, leaving.signal);
    await expect(inbox.next()).rejects.toThrow('left');
    expect(told).toEqual(['cancel']);
  });

  it('begins an answer that is finished before it began', async () => {
    const { inbox } = open();
    inbox.finish(finished);
    expect((await inbox.next()).value).toEqual(begun);
    expect((await inbox.next()).value).toEqual(finished);
  });

  it('cancels nothing that is settled', async () => {
    const { inbox, leaving, told } = open();
    inbox.finish(finished);
    leaving.abort(new Error('left'));
    await inbox.return();
    expect(told).toEqual([]);
  });

  it('gives what came before a failure, then throws it', async () => {
    const { inbox } = open();
    inbox.add([1], 'a');
    inbox.fail(new Error('lost'));
    inbox.fail(new Error('again'));
    inbox.deliver();
    expect((await inbox.next()).value).toMatchObject({ text: 'a' });
    await expect(inbox.next()).rejects.toThrow('lost');
    expect((await inbox.next()).done).toBe(true);
  });
});
