export { type OpenAiEngineOptions, openOpenAiEngine } from './open-openai-engine.js';
export { PRESETS, type Preset } from './presets.js';
