/**
 * Threads of Node's pool. The addon waits for llama.cpp on them, a whole step or input long: one for every context that
 * computes, and some for files and names of hosts. With Node's four, the step of a chat waits for the inputs of an
 * embedding model: beside four busy contexts it took 396 ms instead of 16.
 *
 * More than anyone has contexts, since idle ones cost next to nothing (all 128 together about a megabyte).
 */
const POOL_THREADS = 128;

// libuv looks at it when the pool is first used, which already happens while node-llama-cpp is imported. So this file does
// it when it is imported itself, before all others.
process.env.UV_THREADPOOL_SIZE ??= String(POOL_THREADS);
