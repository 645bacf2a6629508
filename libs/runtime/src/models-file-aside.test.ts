import { describe, expect, it } from 'vitest';
import { ConfigurationError } from './configuration-error.js';
import { checkedModelsFile, parseModelsFile } from './models-file.js';
import { checkModelsFileAside } from './models-file-aside.js';

const goesOn = new AbortController().signal;
const models = (count: number) =>
  `models:\n${Array.from({ length: count }, (_, index) => `  - {id: m${index}, path: m.gguf}\n`).join('')}`;
const elsewhere = (count: number) =>
  `aliases:\n${Array.from({ length: count }, (_, index) => `  - {name: a${index}, targets: [{model: t${index}}]}\n`).join('')}`;
const problemsOf = async (checking: Promise<unknown>) => {
  const error = await checking.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(ConfigurationError);
  return (error as ConfigurationError).problems;
};

describe('a models file that is checked aside', () => {
  it.each([models(2), models(500), elsewhere(3), elsewhere(500)])(
    'is the same as checked at once, %#',
    async (text) => {
      await expect(checkModelsFileAside(text, 'models.yaml', goesOn)).resolves.toEqual(
        checkedModelsFile(text, 'models.yaml'),
      );
    },
  );

  it('is refused with the same sentences', async () => {
    for (const text of [`${models(2)}  - {id: x, path: x, colour: red}\n`, `${models(500)}  - {id: m1, path: x}\n`]) {
      const [problem] = await problemsOf(checkModelsFileAside(text, 'models.yaml', goesOn));
      expect(problem).toMatch(/^models\.yaml, line \d+: models/);
      expect(() => parseModelsFile(text, 'models.yaml')).toThrow(problem!);
    }
  });

  it('leaves room for others while a large one is read', async () => {
    let turns = 0;
    const counting = setInterval(() => turns++, 1);
    await checkModelsFileAside(models(1_000), 'models.yaml', goesOn).finally(() => clearInterval(counting));
    expect(turns).toBeGreaterThan(3);
  });

  it('is given up when it takes too long, and when nobody wants it any more', async () => {
    const endless = 'a b c: [\n'.repeat(100_000);
    expect(await problemsOf(checkModelsFileAside(endless, 'models.yaml', goesOn, 50))).toEqual([
      "models.yaml can't be checked: that took longer than 50 ms. Check that it is the one that was meant.",
    ]);
    const stop = new AbortController();
    const checking = checkModelsFileAside(endless, 'models.yaml', stop.signal);
    stop.abort(new Error('closed'));
    await expect(checking).rejects.toThrow('closed');
  });
});

describe('what is said of a models file', () => {
  const problems = (text: string) => {
    try {
      parseModelsFile(text, 'models.yaml');
    } catch (error) {
      return (error as ConfigurationError).problems;
    }
    throw new Error('It was taken.');
  };

  it('is short, whatever stands in it', () => {
    const many = problems('a: b: c\n'.repeat(2_000));
    expect(many).toHaveLength(51);
    expect(many.at(-1)).toMatch(/^models\.yaml has \d+ more mistakes\.$/);
    for (const text of [`${'x'.repeat(100_000)}: 1\n`, `models: []\n"${'y'.repeat(100_000)}\n`]) {
      expect(problems(text).join(' ').length).toBeLessThan(2_000);
    }
    expect(problems(`models: ${'['.repeat(5_000)}${']'.repeat(5_000)}`)[0]).toMatch(/line 1, is nested too deeply\./);
    expect(checkedModelsFile(elsewhere(200), 'models.yaml').doubts).toHaveLength(51);
  });

  it('has the line of a key that is not known, and of what something is missing in', () => {
    expect(problems('models: []\nalias: []\n')).toEqual(
      expect.arrayContaining([expect.stringMatching(/^models\.yaml, line 2: Unrecognized key: "alias"\./)]),
    );
    expect(problems('models:\n  - id: a\n    path: a.gguf\n    colour: red\n')).toEqual([
      expect.stringMatching(/^models\.yaml, line 4: models\[0\]: Unrecognized key: "colour"\./),
    ]);
    expect(problems('models:\n  - id: a\n    path: a.gguf\n  - id: b\n')).toEqual([
      expect.stringMatching(/^models\.yaml, line 4: models\[1\]\.path: `path` is missing/),
    ]);
  });
});
