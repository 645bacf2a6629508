import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { integer, optionalText, SETTINGS, type SettingReader, type SettingTable } from '@millrace/contracts';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { ConfigurationError } from './configuration-error.js';
import { describeSettings, loadSettings } from './load-settings.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-settings-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

interface Sources {
  args?: string[];
  environment?: Record<string, string>;
  env?: string;
  yaml?: string;
  reader?: SettingReader;
}

function load({ args = [], environment = {}, env, yaml, reader = 'gateway' }: Sources) {
  mkdirSync(join(folder, 'configs'), { recursive: true });
  if (env !== undefined) writeFileSync(join(folder, '.env'), env);
  if (yaml !== undefined) writeFileSync(join(folder, 'configs/millrace.yaml'), yaml);
  return loadSettings({ reader, args, environment, workingFolder: folder });
}

function problemsOf(sources: Sources): readonly string[] {
  try {
    load(sources);
  } catch (error) {
    if (error instanceof ConfigurationError) return error.problems;
    throw error;
  }
  return [];
}

it('hands on what .env has beside settings, under the environment: keys of other servers', () => {
  const env = 'MILLRACE_PORT=3\nGROQ_API_KEY=weak\nFIREWORKS_API_KEY=other\n';
  const loaded = load({ env, environment: { GROQ_API_KEY: 'strong' } });
  expect(loaded.variables).toMatchObject({ GROQ_API_KEY: 'strong', FIREWORKS_API_KEY: 'other' });
  expect(JSON.stringify(describeSettings(loaded))).not.toMatch(/strong|other/);
});

describe('the strength of sources', () => {
  const all = {
    args: ['--port', '1'],
    environment: { MILLRACE_PORT: '2' },
    env: 'MILLRACE_PORT=3\n',
    yaml: 'port: 4\n',
  };

  it.each([
    ['flag', all, 1],
    ['environment', { ...all, args: [] }, 2],
    ['.env', { ...all, args: [], environment: {} }, 3],
    ['file', { yaml: all.yaml }, 4],
    ['default', {}, 8000],
  ] as const)('%s wins over the weaker ones', (source, sources, port) => {
    const loaded = load(sources as Sources);
    expect(loaded.settings.port).toBe(port);
    expect(loaded.sources.port).toBe(source);
  });

  it('does not complain of a bad value that a stronger source replaces', () => {
    expect(load({ args: ['--port=8001'], environment: { MILLRACE_PORT: 'eight' } }).settings.port).toBe(8001);
  });
});

describe('flags', () => {
  it('reads booleans with and without --no-, and with a value', () => {
    expect(load({ args: ['--allow-unauthenticated'] }).settings.allowUnauthenticated).toBe(true);
    expect(load({ args: ['--no-allow-unauthenticated'] }).settings.allowUnauthenticated).toBe(false);
    expect(load({ args: ['--allow-unauthenticated=false'] }).settings.allowUnauthenticated).toBe(false);
  });

  it('adds up a list that is given with commas, repeated, or both', () => {
    expect(load({ args: ['--workers', 'a:1,b:2', '--workers=c:3'] }).settings.workers).toEqual(['a:1', 'b:2', 'c:3']);
  });

  it('takes a negative number as a value, and says when a flag swallowed the next one', () => {
    expect(problemsOf({ args: ['--port', '-5'] })).toEqual([
      '--port is "-5". It takes a whole number from 0 to 65,535. Change it, or leave it out to use 8000.',
    ]);
    expect(problemsOf({ args: ['--model', '--port', '8001'] })).toEqual([
      '--model needs a value. Write --model=VALUE.',
    ]);
    expect(problemsOf({ args: ['--port'] })).toEqual(['--port needs a value. Write --port=VALUE.']);
  });

  it('suggests the flag that was meant', () => {
    expect(problemsOf({ args: ['--prot', '8001'] })).toEqual([
      'There is no flag --prot. Did you mean --port? --help lists all.',
    ]);
  });

  it('refuses a word that belongs to no flag', () => {
    expect(problemsOf({ args: ['model.gguf'] })).toEqual([
      '"model.gguf" is neither a flag nor the value of one. Remove it, or write --flag=model.gguf.',
    ]);
  });

  it('hands on what it was given, and the file that it read', () => {
    const loaded = load({ args: ['--port', '8001', '--model=x.gguf', '--allow-unauthenticated'], yaml: 'threads: 1' });
    expect(loaded.flagsFor(['port'])).toEqual([
      `--config=${join(folder, 'configs/millrace.yaml')}`,
      '--model=x.gguf',
      '--allow-unauthenticated=true',
    ]);
  });

  it('hands on secrets by variables: flags stand in the list of processes', () => {
    const args = ['--admin-key=one', '--redis-url', 'redis://:two@a', '--admin-key=three', '--port=8001'];
    const loaded = load({ args, reader: 'serve' });
    expect(loaded.flagsFor([])).toEqual(['--port=8001']);
    expect(loaded.secretsFromFlags).toEqual({ MILLRACE_ADMIN_KEY: 'three', MILLRACE_REDIS_URL: 'redis://:two@a' });
    expect(load({ environment: { MILLRACE_ADMIN_KEY: 'one' } }).secretsFromFlags).toEqual({});
  });

  it('lets a command have flags of its own, which hide a setting of the same name', () => {
    const common = { group: 'process', readBy: ['cli'], why: '' } as const;
    const own = {
      model: optionalText(common),
      maxTokens: integer({ ...common, default: 5, min: 1, max: 9, unit: 'tokens' }),
    } as const satisfies SettingTable;
    const args = ['--model', 'a', '--max-tokens=7'];
    const loaded = loadSettings({ reader: 'cli', args, environment: {}, workingFolder: folder, own });
    expect(loaded.own).toEqual({ model: 'a', maxTokens: 7 });
    expect(loaded.settings.model).toBeUndefined();
    expect(loaded.flagsFor([])).toEqual([]);
  });
});

describe('variables', () => {
  it('suggests the variable that was meant, and says on which line of .env it stands', () => {
    expect(problemsOf({ environment: { MILLRACE_PROT: '1' }, env: '# ours\nMILLRACE_MODLE=x\nOTHER=1\n' })).toEqual([
      'MILLRACE_PROT in the environment is no setting. Did you mean MILLRACE_PORT? Rename or remove it; .env.example lists all.',
      'MILLRACE_MODLE (.env, line 2) is no setting. Did you mean MILLRACE_MODEL? Rename or remove it; .env.example lists all.',
    ]);
  });

  it('reads files that begin with a byte order mark', () => {
    const { settings } = load({ env: '\uFEFFMILLRACE_PORT=8001\n', yaml: '\uFEFFthreads: 3\n' });
    expect(settings).toMatchObject({ port: 8001, threads: 3 });
  });

  it('takes an empty variable for none', () => {
    expect(load({ environment: { MILLRACE_PORT: '' }, env: 'MILLRACE_MODEL=\n' }).settings.port).toBe(8000);
  });

  it('is not misled by what Kubernetes tells of a service named millrace', () => {
    const environment = {
      MILLRACE_PORT: 'tcp://10.0.0.7:8000',
      MILLRACE_SERVICE_HOST: '10.0.0.7',
      MILLRACE_SERVICE_PORT: '8000',
      MILLRACE_SERVICE_PORT_HTTP: '8000',
      MILLRACE_PORT_8000_TCP: 'tcp://10.0.0.7:8000',
      MILLRACE_PORT_8000_TCP_ADDR: '10.0.0.7',
      MILLRACE_GATEWAY_PORT: 'tcp://10.0.0.8:80',
    };
    expect(load({ environment }).settings.port).toBe(8000);
  });
});

describe('the YAML file', () => {
  it('names the line of an unknown key and of a wrong value, and suggests the name', () => {
    expect(problemsOf({ yaml: '# ours\nport: 99999\nmaxBatchsize: 3\n' })).toEqual([
      'maxBatchsize (configs/millrace.yaml, line 3) is no setting. Did you mean maxBatchSize? Rename or remove it.',
      'port (configs/millrace.yaml, line 2) is 99999. It takes a whole number from 0 to 65,535. Change it, or leave it out to use 8000.',
    ]);
  });

  it('says on which line it cannot be read', () => {
    expect(problemsOf({ yaml: 'port: 1\nport: 2\n' })).toEqual([
      'configs/millrace.yaml, line 2, is not valid YAML: Map keys must be unique.',
    ]);
  });

  it('takes numbers in quotes, lists both ways, and an empty value for none', () => {
    const { settings } = load({ yaml: 'port: "8001"\nworkers: [a:1, b:2]\ncorsOrigins: "*"\nmodel:\n' });
    expect(settings).toMatchObject({ port: 8001, workers: ['a:1', 'b:2'], corsOrigins: ['*'], model: undefined });
  });

  it('must exist when it is named, by flag or by variable', () => {
    expect(problemsOf({ args: ['--config', 'absent.yaml'] })[0]).toContain('There is no file absent.yaml.');
    expect(problemsOf({ environment: { MILLRACE_CONFIG: 'absent.yaml' } })[0]).toContain('There is no file');
  });

  it('is said to be a folder when it is one', () => {
    expect(problemsOf({ args: ['--config', 'configs'] })).toEqual([
      'configs is a folder, not a file. Name the file in it.',
    ]);
  });

  const isRoot = process.getuid?.() === 0;
  if (isRoot)
    console.warn('Skipped: that a forbidden file is said to be forbidden, since nothing is forbidden to root.');
  it.skipIf(isRoot)('is said to be forbidden when it is', () => {
    writeFileSync(join(folder, 'secret.yaml'), 'port: 1');
    chmodSync(join(folder, 'secret.yaml'), 0);
    expect(problemsOf({ args: ['--config', 'secret.yaml'] })[0]).toContain('may not be read');
  });

  it("is looked for in the working folder first, then in Millrace's own", () => {
    const home = join(folder, 'home');
    mkdirSync(join(home, 'configs'), { recursive: true });
    writeFileSync(join(home, 'configs/millrace.yaml'), 'port: 8005');
    writeFileSync(join(home, 'configs/models.yaml'), 'models: []');
    const loaded = load({ environment: { MILLRACE_HOME: home } });
    expect(loaded.settings.port).toBe(8005);
    expect(loaded.settings.modelsFile).toBe(join(home, 'configs/models.yaml'));
    expect(load({ environment: { MILLRACE_HOME: home }, yaml: 'port: 8006' }).settings.port).toBe(8006);
  });

  it('survives aliases that unfold without end', () => {
    const bomb = `a: &a [x,x,x,x,x,x,x,x,x]\n${[...'bcdefghi'].map((name, i) => `${name}: &${name} [${Array(9).fill(`*${'abcdefgh'[i]}`)}]`).join('\n')}\n`;
    expect(problemsOf({ yaml: bomb })[0]).toContain('configs/millrace.yaml is not usable YAML');
  });
});

describe('modelId', () => {
  it('is held to what a name in the models file is held to', () => {
    expect(load({ args: ['--model-id=org/Model-1.5:q4'] }).settings.modelId).toBe('org/Model-1.5:q4');
    expect(problemsOf({ args: ['--model-id=my model'] })).toEqual([
      '--model-id is "my model". It takes a text of at most 200 letters, digits, and . _ : / - that begins with a letter or digit. Change it, or leave it out.',
    ]);
    expect(problemsOf({ args: [`--model-id=${'x'.repeat(201)}`] })).toHaveLength(1);
  });
});

describe('problems', () => {
  it('are all told at once', () => {
    expect(
      problemsOf({
        args: ['--max-batch-size=0', '--gpu=abacus'],
        environment: { MILLRACE_LOG_LEVEL: 'loud', MILLRACE_ALLOW_UNAUTHENTICATED: 'maybe' },
        env: 'MILLRACE_DEFAULT_TOP_P=2',
        yaml: 'host: 7',
      }),
    ).toEqual([
      'MILLRACE_DEFAULT_TOP_P (.env, line 1) is "2". It takes a number from 0.000001 to 1. Change it, or leave it out to use 1.',
      'host (configs/millrace.yaml, line 1) is 7. It takes a text in quotes. Change it, or leave it out to use 127.0.0.1.',
      'MILLRACE_ALLOW_UNAUTHENTICATED in the environment is "maybe". It takes true or false. Change it, or leave it out to use false.',
      '--max-batch-size is "0". It takes a whole number from 1 to 256 sequences. Change it, or leave it out to use 32.',
      '--gpu is "abacus". It takes one of off, auto, cuda, vulkan, metal. Change it, or leave it out to use auto.',
      'MILLRACE_LOG_LEVEL in the environment is "loud". It takes one of debug, info, warn, error, silent. Change it, or leave it out to use info.',
    ]);
  });

  it('include contradictions, for the processes that read the settings concerned', () => {
    const args = ['--restart-delay-ms-min=9999', '--restart-delay-ms-max=99'];
    expect(problemsOf({ args, reader: 'serve' })).toEqual([
      'restartDelayMsMin is 9999 and restartDelayMsMax is 99. The first must not be larger; change one of them.',
    ]);
    expect(problemsOf({ args, reader: 'cli' })).toEqual([]);
  });
});

describe('describeSettings', () => {
  it('lists what differs from the defaults and where it came from', () => {
    const loaded = load({ args: ['--port=8001'], yaml: 'workers: [a:1, b:2]' });
    expect(describeSettings(loaded)).toEqual({ port: '8001 (flag)', workers: 'a:1,b:2 (file)' });
  });
});

describe('whatever is given', () => {
  const names = Object.keys(SETTINGS);
  const settingsOrProblems = (sources: Sources) => {
    try {
      const { settings } = load(sources);
      for (const [name, setting] of Object.entries(SETTINGS as SettingTable)) {
        expect(setting.schema.safeParse(settings[name as keyof typeof settings]).success, name).toBe(true);
      }
    } catch (error) {
      expect(error).toBeInstanceOf(ConfigurationError);
      expect((error as ConfigurationError).problems.length).toBeGreaterThan(0);
    }
  };

  it('in a YAML file gives typed settings or a ConfigurationError', () => {
    const key = fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...names) }, fc.string());
    const file = fc.oneof(
      fc.dictionary(key, fc.oneof(fc.integer(), fc.double(), fc.boolean(), fc.string(), fc.jsonValue())),
      fc.jsonValue(),
    );
    fc.assert(
      fc.property(file, (value) => settingsOrProblems({ yaml: stringify(value) })),
      { numRuns: 300 },
    );
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => settingsOrProblems({ yaml: text })));
  });

  it('as flags, variables or .env gives typed settings or a ConfigurationError', () => {
    const word = fc.oneof(
      fc.constantFrom('--port', '--model', '--no-port', '--workers', '--', '-', '--x=1'),
      fc.string(),
    );
    const variable = fc.constantFrom('MILLRACE_PORT', 'MILLRACE_WORKERS', 'MILLRACE_CONFIG', 'MILLRACE_X');
    fc.assert(
      fc.property(fc.array(word), fc.dictionary(variable, fc.string()), fc.string(), (args, environment, env) =>
        settingsOrProblems({ args, environment, env }),
      ),
      { numRuns: 300 },
    );
  });
});
