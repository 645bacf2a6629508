export * from './doorbell.js';
export * from './logger.js';
export * from './metrics.js';
export * from './parent-process.js';
export * from './termination.js';
