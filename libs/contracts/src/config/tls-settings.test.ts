import { describe, expect, it } from 'vitest';
import { contradictionsIn, SETTINGS, type Settings } from './settings.js';

const defaults = Object.fromEntries(Object.entries(SETTINGS).map(([name, { default: value }]) => [name, value]));
const sentencesOf = (changes: Partial<Settings>) =>
  contradictionsIn({ ...defaults, ...changes } as Settings).map(({ sentence }) => sentence);

describe('settings of TLS', () => {
  it('contradict nothing where they are absent, or whole', () => {
    expect(sentencesOf({})).toEqual([]);
    expect(
      sentencesOf({
        'tls.certFile': 'a',
        'tls.keyFile': 'b',
        'workerTls.certFile': 'a',
        'workerTls.keyFile': 'b',
        'workerTls.caFile': 'c',
        redisUrl: 'rediss://host:6379',
        'redisTls.caFile': 'c',
        postgresUrl: 'postgres://host/name?sslmode=require',
        'postgresTls.caFile': 'c',
        qdrantUrl: 'https://host:6333',
        'qdrantTls.caFile': 'c',
      }),
    ).toEqual([]);
  });

  it.each<[Partial<Settings>, string]>([
    [{ 'tls.certFile': 'a' }, 'tls.certFile is given, and tls.keyFile is not. Give both, or none.'],
    [{ 'tls.keyFile': 'b' }, 'tls.keyFile is given, and tls.certFile is not. Give both, or none.'],
    [
      { 'workerTls.certFile': 'a', 'workerTls.keyFile': 'b' },
      'workerTls.certFile and workerTls.keyFile are given, and workerTls.caFile is not. Give all 3, or none.',
    ],
    [
      { redisUrl: 'redis://host:6379', 'redisTls.caFile': 'c' },
      'redisTls.caFile is given, but the connection that redisUrl names is not checked by it. Write it as rediss://, or leave redisTls out.',
    ],
    [{ 'redisTls.caFile': 'c' }, 'redisTls.caFile is given, and redisUrl is not. Give both, or leave redisTls out.'],
    [
      { qdrantUrl: 'http://host:6333', 'qdrantTls.caFile': 'c' },
      'qdrantTls.caFile is given, but the connection that qdrantUrl names is not checked by it. Write it as https://, or leave qdrantTls out.',
    ],
  ])('%j is said to be half of something', (changes, sentence) => {
    expect(sentencesOf(changes)).toEqual([sentence]);
  });

  it.each(['sslmode=disable', 'sslmode=no-verify', 'ssl=0'])('postgresTls does not go with %s', (query) => {
    const url = `postgres://host/name?application_name=x&${query}`;
    expect(sentencesOf({ postgresUrl: url, 'postgresTls.caFile': 'c' })).toEqual([
      expect.stringContaining('Write sslmode=verify-full into it, or leave postgresTls out.'),
    ]);
  });
});
