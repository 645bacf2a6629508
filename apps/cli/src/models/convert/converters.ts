import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { CommandError } from '../../command.js';

/** How a model is to be converted: the program to run, and what comes out of it. */
export interface Converter {
  readonly kind: 'gguf' | 'openvino';
  /** What it writes in the folder of the model: a file, or a folder. */
  readonly resultName: (name: string) => string;
  /** The programs to run one after another, each of which reads the folder or what the one before wrote. */
  readonly steps: (folder: string, result: string, task: string) => readonly Step[];
  readonly weightFormat: string;
}

export interface Step {
  readonly program: string;
  readonly args: readonly string[];
}

const LLAMA_CPP_SCRIPTS = ['convert_hf_to_gguf.py', 'convert-hf-to-gguf.py', 'convert_hf_to_gguf'];
const OPENVINO_FORMATS = ['fp16', 'int8', 'int4'];
const QUANTIZE_TYPE = /^[A-Za-z0-9_]{2,20}$/;
/** What optimum calls them. */
const OPENVINO_TASKS: Readonly<Record<string, string>> = {
  chat: 'text-generation-with-past',
  completion: 'text-generation-with-past',
  embedding: 'feature-extraction',
  rerank: 'text-classification',
};

const INSTALL_LLAMA_CPP =
  'llama.cpp’s: git clone https://github.com/ggml-org/llama.cpp, pip install -r llama.cpp/requirements.txt, and put that folder on the PATH';
const INSTALL_OPENVINO = 'OpenVINO’s: pip install "optimum-intel[openvino]"';

/** @throws CommandError that says what to install. */
export function chooseConverter(
  to: 'auto' | 'gguf' | 'openvino',
  quantize: string | undefined,
  path: string | undefined,
): Converter {
  if (quantize !== undefined && !QUANTIZE_TYPE.test(quantize))
    throw new CommandError(
      `--quantize is ${JSON.stringify(quantize.slice(0, 40))}. It takes a type such as Q4_K_M, or int4 and int8 for OpenVINO.`,
    );
  const isOpenVinoFormat = quantize !== undefined && OPENVINO_FORMATS.includes(quantize.toLowerCase());
  const wanted = to === 'auto' && quantize !== undefined ? (isOpenVinoFormat ? 'openvino' : 'gguf') : to;
  const script = LLAMA_CPP_SCRIPTS.map((name) => findProgram(name, path)).find((found) => found !== undefined);
  const optimum = findProgram('optimum-cli', path);
  if (wanted !== 'openvino' && script !== undefined) return llamaCpp(script, quantize, path);
  if (wanted !== 'gguf' && optimum !== undefined) return openVino(optimum, quantize, isOpenVinoFormat);
  throw new CommandError(notInstalled(wanted));
}

function notInstalled(wanted: 'auto' | 'gguf' | 'openvino'): string {
  if (wanted === 'gguf') return `No converter to GGUF is on the PATH. Install ${INSTALL_LLAMA_CPP}.`;
  if (wanted === 'openvino') return `No converter for OpenVINO is on the PATH. Install ${INSTALL_OPENVINO}.`;
  return `No converter is on the PATH. Install one of them: ${INSTALL_LLAMA_CPP}; or ${INSTALL_OPENVINO}.`;
}

function llamaCpp(script: string, quantize: string | undefined, path: string | undefined): Converter {
  const quantizer = quantize === undefined ? undefined : findProgram('llama-quantize', path);
  if (quantize !== undefined && quantizer === undefined)
    throw new CommandError(
      `--quantize ${quantize} needs llama.cpp’s llama-quantize on the PATH. Build llama.cpp (cmake -B build && cmake --build build --target llama-quantize) and put build/bin on the PATH, or leave --quantize out.`,
    );
  return {
    kind: 'gguf',
    resultName: (name) => `${name}.gguf`,
    weightFormat: quantize?.toUpperCase() ?? 'F16',
    steps: (folder, result) => {
      const whole = quantizer === undefined ? result : `${result}.f16.gguf`;
      const convert = { program: script, args: [folder, '--outfile', whole, '--outtype', 'f16'] };
      if (quantizer === undefined) return [convert];
      return [convert, { program: quantizer, args: [whole, result, quantize!.toUpperCase()] }];
    },
  };
}

function openVino(program: string, quantize: string | undefined, isFormat: boolean): Converter {
  if (quantize !== undefined && !isFormat)
    throw new CommandError(`OpenVINO’s converter knows no ${quantize}; it knows ${OPENVINO_FORMATS.join(', ')}.`);
  const weightFormat = quantize?.toLowerCase() ?? 'fp16';
  return {
    kind: 'openvino',
    resultName: () => 'openvino',
    weightFormat,
    steps: (folder, result, task) => [
      {
        program,
        args: [
          'export',
          'openvino',
          '--model',
          folder,
          '--task',
          OPENVINO_TASKS[task]!,
          '--weight-format',
          weightFormat,
          result,
        ],
      },
    ],
  };
}

/** As a shell finds it; undefined: it is not there, or may not be run. */
function findProgram(name: string, path = ''): string | undefined {
  for (const folder of path.split(delimiter)) {
    const program = join(folder || '.', name);
    if (!existsSync(program) || !statSync(program).isFile()) continue;
    try {
      accessSync(program, constants.X_OK);
      return program;
    } catch {
      // Another folder of the PATH may have one that may be run.
    }
  }
  return undefined;
}
