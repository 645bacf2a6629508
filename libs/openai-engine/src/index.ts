export { type OpenAiEngineOptions, openOpenAiEngine } from './open-openai-engine.js';
export type { OpenAiEngine } from './openai-engine.js';
export { type Ping, type ProviderAccess, type ProviderPing, pingProvider, providerKey } from './ping-upstream.js';
export { PRESETS, type Preset } from './presets.js';
