import type { Citation, CitationSource, Prompt } from '@millrace/contracts';
import { countIn } from './counts.js';

type Fields = Readonly<Record<string, unknown>>;

/**
 * OpenAI's annotations as passages and their sources. They know addresses only: those of the prompt's own documents, and
 * those by which Millrace names what has none (`document:3`, `tool:call_x#0`). Others are of nothing that was asked about,
 * and left out. Several annotations of one passage are its sources.
 */
export function citationsIn(annotations: unknown, prompt: Prompt): Citation[] {
  if (!Array.isArray(annotations) || prompt.kind !== 'chat') return [];
  const passages = new Map<string, { start: number; end: number; sources: CitationSource[] }>();
  for (const annotation of annotations) {
    const cited = (annotation as { url_citation?: Fields } | null)?.url_citation ?? {};
    const { url } = cited;
    const start = countIn(cited.start_index);
    const end = countIn(cited.end_index);
    if (start === undefined || end === undefined || end < start || typeof url !== 'string') continue;
    const source = sourceOf(url, prompt.documents ?? []);
    if (source === undefined) continue;
    const key = `${start}-${end}`;
    const passage = passages.get(key) ?? { start, end, sources: [] };
    passage.sources.push(source);
    passages.set(key, passage);
  }
  return [...passages.values()];
}

function sourceOf(url: string, documents: readonly Fields[]): CitationSource | undefined {
  const tool = /^tool:(.+)#(\d{1,9})$/s.exec(url);
  if (tool !== null) return { kind: 'toolResult', callId: tool[1]!, result: Number(tool[2]) };
  const name = /^document:(.+)$/s.exec(url)?.[1];
  const byName = documents.findIndex(({ id, url: own }) => own === url || (name !== undefined && String(id) === name));
  const document = byName === -1 && name !== undefined && /^\d{1,9}$/.test(name) ? Number(name) : byName;
  return document >= 0 && document < documents.length ? { kind: 'document', document } : undefined;
}
