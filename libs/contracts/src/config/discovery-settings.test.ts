import { describe, expect, it } from 'vitest';
import { contradictionsIn, SETTINGS, type Settings } from './settings.js';

const defaults = Object.fromEntries(Object.entries(SETTINGS).map(([name, { default: value }]) => [name, value]));
const sentencesOf = (changes: Partial<Settings>) =>
  contradictionsIn({ ...defaults, ...changes } as Settings).map(({ sentence }) => sentence);

describe('settings by which workers are found', () => {
  it.each<Partial<Settings>>([
    { redisUrl: 'redis://host:6379' },
    { workerDiscovery: 'dns', workersDns: 'workers:8100' },
    { workerDiscovery: 'kubernetes', workersService: 'default/workers:8100' },
    { workerDiscovery: 'redis', redisUrl: 'redis://host:6379' },
  ])('%j is whole', (changes) => expect(sentencesOf(changes)).toEqual([]));

  it.each<[Partial<Settings>, string]>([
    [{ workerDiscovery: 'dns' }, 'workerDiscovery is dns, which needs workersDns. Set it, or choose another way.'],
    [
      { workerDiscovery: 'kubernetes' },
      'workerDiscovery is kubernetes, which needs workersService. Set it, or choose another way.',
    ],
    [{ workerDiscovery: 'redis' }, 'workerDiscovery is redis, which needs redisUrl. Set it, or choose another way.'],
    [
      { workersDns: 'workers:8100' },
      'workersDns is given, and workerDiscovery is static, which does not ask it. Set workerDiscovery to dns, or leave workersDns out.',
    ],
  ])('%j is half of something', (changes, sentence) => expect(sentencesOf(changes)).toEqual([sentence]));
});
