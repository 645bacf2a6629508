import { boolean, choice, optionalText, type Setting, type SettingTable } from '@millrace/contracts';
import { MODEL_TASKS, type ModelTask } from '@millrace/storage';
import { OWN } from '../command.js';

/** Said by the file itself, unless it is said here. */
const task = {
  ...choice({
    ...OWN,
    choices: [...MODEL_TASKS],
    default: 'chat',
    why: 'add: what the model does. Unsaid: as its file has it.',
  }),
  default: undefined,
} as unknown as Setting<ModelTask | undefined>;
const optionalTask = { ...task, schema: task.schema.optional() } as Setting<ModelTask | undefined>;

/** Of all verbs of `millrace models`. */
export const modelsFlags = {
  id: optionalText({
    ...OWN,
    why: 'add: what the model is called in requests. Unsaid: after the preset, or the file.',
  }),
  task: optionalTask,
  template: optionalText({ ...OWN, why: 'add: a file with a chat template (Jinja) in place of the one in the model.' }),
  licence: optionalText({ ...OWN, why: 'add: the licence, to be written down. Unsaid: as the file says.' }),
  quantisation: optionalText({ ...OWN, why: 'add: the quantisation, to be written down. Unsaid: as the file says.' }),
  sha256: optionalText({ ...OWN, why: 'add: the digest that the file has to have; it is refused if it has another.' }),
  copy: boolean({
    ...OWN,
    default: false,
    why: 'add: a file of this machine is copied into `modelsDir`. Unsaid, it stays where it is and the registry names its path.',
  }),
  replace: boolean({ ...OWN, default: false, why: 'add, pull: in place of the model that has this id.' }),
  push: boolean({ ...OWN, default: false, why: 'add: also sends it to the bucket.' }),
  bucket: boolean({ ...OWN, default: false, why: 'remove: from the bucket, too. Unsaid, what is there stays.' }),
  allowPrivate: boolean({
    ...OWN,
    default: false,
    why: 'add: also from addresses of this machine and of private networks, which are refused otherwise.',
  }),
  all: boolean({ ...OWN, default: false, why: 'convert: every model below the folder.' }),
  quantize: optionalText({
    ...OWN,
    why: 'convert: to fewer bits: a type of llama.cpp such as Q4_K_M, or int4 and int8 of OpenVINO.',
  }),
  to: {
    ...choice({
      ...OWN,
      choices: ['auto', 'gguf', 'openvino'],
      default: 'auto',
      why: 'convert: by which converter. `auto` takes llama.cpp’s where it is installed, else OpenVINO’s.',
    }),
  },
  url: optionalText({
    ...OWN,
    why: 'The gateway to ask, such as http://10.0.0.5:8000. Absent: `host` and `port`, and where none runs, the models file.',
  }),
  json: boolean({ ...OWN, default: false, why: 'Prints JSON instead of sentences and tables.' }),
} as const satisfies SettingTable;
