import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { DockerfileParser, type From, type Instruction } from 'dockerfile-ast';

export const ROOT = resolve(import.meta.dirname, '../..');
export const DOCKERFILE = readFileSync(join(ROOT, 'Dockerfile'), 'utf8');

/** One stage, from its FROM to the next. */
export interface Stage {
  readonly name: string;
  readonly base: string;
  readonly instructions: readonly Instruction[];
}

/** What a container of an image gets without being asked for anything else. */
export interface ImageSettings {
  readonly environment: Readonly<Record<string, string>>;
  readonly user: string;
  readonly workingFolder: string;
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  readonly healthcheck: readonly string[];
  readonly ports: readonly string[];
  readonly volumes: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
}

export const STAGES: readonly Stage[] = stagesOf(DOCKERFILE);

function stagesOf(text: string): Stage[] {
  const stages: { name: string; base: string; instructions: Instruction[] }[] = [];
  for (const instruction of DockerfileParser.parse(text).getInstructions()) {
    if (instruction.getKeyword() === 'FROM') {
      const from = instruction as From;
      stages.push({ name: from.getBuildStage() ?? '', base: from.getImage() ?? '', instructions: [] });
    } else stages.at(-1)?.instructions.push(instruction);
  }
  return stages;
}

export function stage(name: string): Stage {
  const found = STAGES.find((one) => one.name === name);
  if (found === undefined) throw new Error(`The Dockerfile has no stage ${name}.`);
  return found;
}

/** Of the stage and of those that it stands on. */
export function settingsOf(name: string): ImageSettings {
  const chain: Instruction[] = [];
  for (let at: Stage | undefined = stage(name); at !== undefined; ) {
    chain.unshift(...at.instructions);
    const { base }: Stage = at;
    at = STAGES.find((one) => one.name === base);
  }
  const words = (keyword: string) =>
    chain.filter((one) => one.getKeyword() === keyword).map((one) => one.getArguments().map((word) => word.getValue()));
  const last = (keyword: string) => words(keyword).at(-1) ?? [];
  const health = last('HEALTHCHECK').join(' ');
  return {
    environment: pairs(words('ENV')),
    user: last('USER').join(' '),
    workingFolder: last('WORKDIR').join(' '),
    entrypoint: list(last('ENTRYPOINT').join(' ')),
    command: list(last('CMD').join(' ')),
    healthcheck: health === '' ? [] : list(health.slice(health.indexOf('['))),
    ports: words('EXPOSE').flat(),
    volumes: words('VOLUME').flatMap((each) => list(each.join(' '))),
    labels: pairs(words('LABEL')),
  };
}

/** The form that starts no shell: a JSON array. */
function list(text: string): string[] {
  return text === '' ? [] : (JSON.parse(text) as string[]);
}

function pairs(lines: readonly (readonly string[])[]): Record<string, string> {
  const words = lines.map((line) => line.join(' ')).join(' ');
  const found = words.matchAll(/([\w.]+)=(?:"([^"]*)"|(\S*))/g);
  return Object.fromEntries([...found].map(([, name, quoted, bare]) => [name, quoted ?? bare ?? '']));
}
