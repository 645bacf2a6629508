import { getLlama, type Llama, LlamaLogLevel, NoBinaryFoundError } from 'node-llama-cpp';

/** Where llama.cpp's own lines go. A pino logger fits. */
export interface EngineLogger {
  debug(message: string): void;
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}

export type GpuChoice = 'off' | 'auto' | 'cuda' | 'vulkan' | 'metal';

const instances = new Map<GpuChoice, Promise<Llama>>();

/**
 * llama.cpp's library, loaded once per process and never unloaded.
 *
 * Not disposed with the engine: after a dispose, a second instance in the same process loses its logger and llama.cpp
 * writes raw lines to standard error (seen with node-llama-cpp 3.22.1).
 *
 * @throws Error when `gpu` names a kind whose package is not installed or does not work here.
 */
export async function llamaFor(gpu: GpuChoice, logger: EngineLogger): Promise<Llama> {
  const loading = instances.get(gpu) ?? loadLlama(gpu);
  instances.set(gpu, loading);
  try {
    const llama = await loading;
    llama.logger = (level, message) => writeLine(logger, level, message);
    return llama;
  } catch (error) {
    instances.delete(gpu);
    throw error;
  }
}

async function loadLlama(gpu: GpuChoice): Promise<Llama> {
  // Asked for Metal elsewhere, node-llama-cpp gives the CPU without a word.
  if (gpu === 'metal' && process.platform !== 'darwin') throw new Error(gpuMissing(gpu));
  try {
    const llama = await getLlama({
      gpu: gpu === 'off' ? false : gpu,
      // Never compile on a user's machine: it takes minutes, needs a compiler, and hides that a package is missing.
      build: 'never',
      skipDownload: true,
      progressLogs: false,
      logLevel: LlamaLogLevel.info,
      logger: () => {},
    });
    if (gpu !== 'off' && gpu !== 'auto' && llama.gpu !== gpu) throw new Error(gpuMissing(gpu));
    return llama;
  } catch (error) {
    if (error instanceof NoBinaryFoundError) throw new Error(gpuMissing(gpu), { cause: error });
    throw error;
  }
}

function gpuMissing(gpu: GpuChoice): string {
  if (gpu === 'cuda' || gpu === 'vulkan') {
    return `The GPU setting asks for ${gpu}, but its engine package is not installed or finds no working device. Run \`make engine-${gpu}\`, or set --gpu auto.`;
  }
  if (gpu === 'metal') {
    return 'The GPU setting asks for metal, which only Macs have, and not all of them. Set --gpu auto.';
  }
  return "llama.cpp's library for this platform is not installed. Install the workspace's packages again, optional ones included.";
}

/** llama.cpp writes over a hundred lines of information per model; here they are details. */
function writeLine(logger: EngineLogger, level: LlamaLogLevel, message: string): void {
  const line = message.trimEnd();
  if (line === '' || level === LlamaLogLevel.disabled) return;
  if (level === LlamaLogLevel.fatal || level === LlamaLogLevel.error) logger.error(line);
  else if (level === LlamaLogLevel.warn) logger.warn(line);
  else logger.debug(line);
}
