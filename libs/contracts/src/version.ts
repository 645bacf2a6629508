/** The product's version, as `/health`, `--version` and the worker's description show it. */
export const VERSION = '0.1.0';

/** Gateway and worker must agree on it; raised when a frame changes its meaning. */
export const PROTOCOL_VERSION = 4;
