export * from './adapters/folder-object-store.js';
export * from './adapters/s3-object-store.js';
export * from './object-store.js';
