import { existsSync } from 'node:fs';
import type { Settings } from '@millrace/contracts';
import { contentAt, ModelProblem, type StoredModel } from '@millrace/storage';
import { withModelStoreOf } from '../models/open-store.js';
import { type Finding, fine, wrong } from './finding.js';

/** A bucket that does not answer is said to be away. */
const LOOK_MS_MAX = 10_000;

export interface CheckedRegistry {
  readonly findings: readonly Finding[];
  /** Of the registry and the bucket. */
  readonly models: ReadonlyMap<string, StoredModel>;
}

/** The registry of models, and the bucket where there is one: each file is there and what it claims to be. Digests are `millrace models verify`'s. */
export function checkRegistry(settings: Settings, variables: NodeJS.ProcessEnv): Promise<CheckedRegistry> {
  return withModelStoreOf(settings, variables, async (store) => {
    const { path } = store.registry;
    try {
      const { models: listed, trouble } = await store.models(AbortSignal.timeout(LOOK_MS_MAX));
      const models = new Map(listed.map((model) => [model.id, model]));
      const away = trouble === undefined ? [] : [wrong('bucket', trouble, 'Without it, its models are not served.')];
      if (listed.length === 0 && !existsSync(path)) return { findings: away, models };
      const here = listed.filter(({ where }) => where !== 'bucket');
      const bucket =
        store.bucket === undefined || trouble !== undefined
          ? ''
          : `; the bucket has ${listed.filter(({ where }) => where !== 'here').length}`;
      const findings = [fine('registry', `${path}: ${here.length} ${here.length === 1 ? 'model' : 'models'}${bucket}`)];
      findings.push(...away);
      for (const { id, entry } of here) findings.push(await checkFile(id, store.registry.pathOf(entry), entry.size));
      return { findings, models };
    } catch (error) {
      if (!(error instanceof ModelProblem)) throw error;
      return {
        findings: [wrong('registry', error.message, 'Without it, its models are not served.')],
        models: new Map(),
      };
    }
  });
}

async function checkFile(id: string, path: string, size: number): Promise<Finding> {
  const about = `model ${id}`;
  const remedy = `Put the right file there, or remove the model: millrace models remove ${id}`;
  try {
    const content = await contentAt(path);
    if (content.size === size) return fine(about, `${path}: of the registry, ${content.format}`);
    const sizes = [content.size, size].map((each) => each.toLocaleString('en-US'));
    return wrong(about, `${path} has ${sizes[0]} bytes, and the registry says ${sizes[1]}.`, remedy);
  } catch (error) {
    if (!(error instanceof ModelProblem)) throw error;
    return wrong(about, error.message, remedy);
  }
}
