import type { UpstreamEntry } from '@millrace/contracts';
import type { Preset } from './presets.js';
import { Secret } from './secret.js';

/** A server that can't be asked as the models file describes it. The sentence goes on from "The model …" or "The provider …". */
export class UnusableUpstream extends Error {}

/** @throws UnusableUpstream when there is no key where there has to be one, or what is there can't be one. */
export function upstreamSecret(upstream: UpstreamEntry, preset: Preset, environment: NodeJS.ProcessEnv): Secret {
  const name = upstream.apiKeyEnv ?? preset.keyEnv;
  const key = name === undefined ? undefined : environment[name]?.trim() || undefined;
  // A variable that the models file names must be there; one that a preset only knows of need not.
  if (key === undefined && name !== undefined && (preset.needsKey || upstream.apiKeyEnv !== undefined)) {
    throw new UnusableUpstream(
      `needs a key for its server (${upstream.preset}): put it into the environment variable ${name}.`,
    );
  }
  if (key !== undefined && !/^[\x21-\x7e]+$/.test(key)) {
    throw new UnusableUpstream(
      `has no key for its server (${upstream.preset}): the environment variable ${name} holds no key, but has a space, a line break or a character that a header can't have.`,
    );
  }
  return new Secret(key);
}

/** @throws UnusableUpstream when there is none, or one with a key in it. */
export function upstreamAddress(upstream: UpstreamEntry, preset: Preset): URL {
  const address = upstream.url ?? preset.url;
  if (address === undefined) {
    throw new UnusableUpstream(
      `needs \`upstream.url\`: preset ${upstream.preset} has no address of its own. Give the server's, such as http://127.0.0.1:8001/v1.`,
    );
  }
  const url = new URL(address);
  if (url.username !== '' || url.password !== '') {
    throw new UnusableUpstream('has a key in its `upstream.url`. Name a variable by `apiKeyEnv` instead.');
  }
  if (url.search !== '' || url.hash !== '') {
    throw new UnusableUpstream('has an `upstream.url` with a part from ? or # on. Leave it out.');
  }
  url.pathname = url.pathname.replace(/\/+$/, '');
  return url;
}

/** For providers far away; a server beside the worker speaks HTTP, and is behind no proxy. */
export function proxyOf({ HTTPS_PROXY, https_proxy, NO_PROXY, no_proxy }: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return { HTTPS_PROXY, https_proxy, NO_PROXY, no_proxy };
}
