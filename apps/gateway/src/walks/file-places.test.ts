import { describe, expect, it } from 'vitest';
import { FilePlaces } from './file-places.js';

const placesOf = (placesMax: number) => new FilePlaces(placesMax, { doing: 'downloaded', setting: 'fileDownloadsMax' });
const REFUSED = expect.objectContaining({ code: 'rate_limit_exceeded' });

describe('the places for files', () => {
  it('are at most half of one key, and the others are for others', () => {
    const places = placesOf(5);
    const held = [places.take('greedy'), places.take('greedy')];
    expect(() => places.take('greedy')).toThrow(
      /^2 files are being downloaded for this key, and one key may have 2 of the 5 .*fileDownloadsMax/,
    );
    for (const key of ['second', 'second', 'third']) places.take(key);
    expect(() => places.take('fourth')).toThrow(/^5 files are being downloaded, and this server does 5 at a time/);
    held[0]![Symbol.dispose]();
    places.take('greedy');
    expect(() => places.take('greedy')).toThrow(REFUSED);
  });

  it('are at least one for a key, and all for whoever comes where there are no keys', () => {
    const one = placesOf(1);
    one.take('key')[Symbol.dispose]();
    one.take('key');
    expect(() => one.take('other')).toThrow(REFUSED);
    const open = placesOf(4);
    for (let taken = 0; taken < 4; taken++) open.take(undefined);
    expect(() => open.take(undefined)).toThrow(REFUSED);
  });
});
