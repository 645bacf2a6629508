export * from './adapters/folder-object-store.js';
export * from './object-store.js';
export * from './open-object-store.js';
