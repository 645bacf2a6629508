import type { CitationSource } from '@millrace/contracts';
import { describe, expect, it } from 'vitest';
import type { ChatPrompt } from '../vocabulary.js';
import { annotationsOf } from './annotations.js';

const call = { id: 'call_1', type: 'function', function: { name: 'search', arguments: '{}' } };
const prompt = (documents: ChatPrompt['documents']): ChatPrompt => ({
  kind: 'chat',
  messages: [{ role: 'user', content: 'hi' }, { role: 'assistant', tool_calls: [call] }, { role: 'tool' }],
  tools: [],
  templateVariables: {},
  documents,
});

function namesOf(source: CitationSource, documents: ChatPrompt['documents'] = []): unknown {
  const [annotation] = annotationsOf([{ start: 2, end: 5, sources: [source] }], prompt(documents));
  const { title, url } = annotation!.url_citation;
  return [title, url];
}

describe('annotationsOf', () => {
  it.each([
    [{ title: 'Tides', url: 'https://a.example', id: 'x' }, 'Tides', 'https://a.example'],
    [{ title: 'Tides', id: 'x' }, 'Tides', 'document:x'],
    [{ id: 'x' }, 'x', 'document:x'],
    [{ id: 7, title: '' }, '7', 'document:7'],
    [{ text: 'only' }, 'Document 0', 'document:0'],
    [{ title: { a: 1 }, id: null }, 'Document 0', 'document:0'],
    [{ id: 'x', data: { title: 'Tides', url: 'https://a.example' } }, 'Tides', 'https://a.example'],
    [{ title: 'x'.repeat(600), url: `https://${'x'.repeat(2_100)}` }, 'x'.repeat(500), 'document:0'],
    [{ title: `${'x'.repeat(499)}😀` }, `${'x'.repeat(499)}\ufffd`, 'document:0'],
  ])('names the document %j', (document, title, url) => {
    expect(namesOf({ kind: 'document', document: 0 }, [document])).toEqual([title, url]);
  });

  it('names a result by its tool and its call', () => {
    expect(namesOf({ kind: 'toolResult', callId: 'call_1', result: 3 })).toEqual(['search', 'tool:call_1#3']);
    expect(namesOf({ kind: 'toolResult', callId: 'other', result: 0 })).toEqual(['other', 'tool:other#0']);
  });

  it('has one annotation for each source of a passage, and none for a passage without', () => {
    const sources = [0, 1].map((document): CitationSource => ({ kind: 'document', document }));
    const citations = [
      { start: 0, end: 3, sources },
      { start: 4, end: 5, sources: [] },
    ];
    expect(annotationsOf(citations, prompt([{ id: 'a' }, { id: 'b' }]))).toEqual(
      ['a', 'b'].map((title) => ({
        type: 'url_citation',
        url_citation: { start_index: 0, end_index: 3, title, url: `document:${title}` },
      })),
    );
  });
});
