import { type ModelBody, VERSION } from '@millrace/contracts';
import pc from 'picocolors';

/** Who needs an API key. While there is none and the gateway listens beyond this machine, it serves nobody. */
export type KeysNeeded = 'nobody' | 'everybody' | 'the first is to be made';

/** What `serve` says when all is ready. `models` are those that are served, the chosen one first. */
export function banner(url: string, models: readonly ModelBody[], keys: KeysNeeded): string {
  const lines = models.map(lineOf);
  const { path, body } = firstRequest(models[0]);
  return `
  ${pc.green(pc.bold(`Millrace ${VERSION} is ready.`))}

  Address  ${pc.bold(`${url}/v1`)}
  Models   ${lines.join('\n           ') || 'none'}
  Docs     ${url}/docs

${keys === 'the first is to be made' ? FIRST_KEY : ''}  Ask it something:

curl -sN ${url}/v1/${path}${keys === 'nobody' ? '' : AUTHORIZATION} -H 'Content-Type: application/json' -d '${JSON.stringify(body)}'

  Ctrl-C stops.

`;
}

const AUTHORIZATION = ' -H "Authorization: Bearer $MILLRACE_API_KEY"';

const FIRST_KEY = `  It listens beyond this machine, and answers only who has an API key. Make the first:

export MILLRACE_API_KEY=$(millrace keys create me --quiet)

`;

function lineOf({ id, context_length, capabilities, state }: ModelBody): string {
  const facts = [
    ...(capabilities.length === 0 ? [] : [capabilities.join(', ')]),
    ...(context_length === undefined ? [] : [`context ${context_length.toLocaleString('en-US')} tokens`]),
    ...(state === 'idle' ? ['loaded on first use'] : []),
    ...(state === 'failed' ? ['can not be loaded: the log says why'] : []),
  ];
  return facts.length === 0 ? id : `${id} (${facts.join('; ')})`;
}

/** One that the model can answer. */
function firstRequest(model: ModelBody | undefined): { readonly path: string; readonly body: object } {
  const named = model && { model: model.id };
  const can = new Set<string>(model?.capabilities ?? ['chat']);
  const question = 'What is the capital of France?';
  if (can.has('chat')) {
    return {
      path: 'chat/completions',
      body: { ...named, messages: [{ role: 'user', content: question }], stream: true },
    };
  }
  if (can.has('completion')) return { path: 'completions', body: { ...named, prompt: question, stream: true } };
  if (can.has('embedding')) return { path: 'embeddings', body: { ...named, input: question } };
  return { path: 'rerank', body: { ...named, query: question, documents: ['Paris.', 'Rain falls in Spain.'] } };
}
