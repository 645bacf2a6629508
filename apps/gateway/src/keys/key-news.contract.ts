import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { KeyNews } from './key-news.js';

/** What every adapter must do. Each adapter's test runs this, then adds what is true of it alone. */
export function keyNewsContract(adapter: string, open: () => Promise<KeyNews>): void {
  describe(`${adapter} as KeyNews`, () => {
    let news: KeyNews;
    beforeEach(async () => {
      news = await open();
    });
    afterEach(() => news.close());

    it('is heard by the gateway that tells, before telling is over', async () => {
      let heard = 0;
      news.listen(() => heard++);
      await news.tell();
      expect(heard).toBe(1);
      await news.tell();
      expect(heard).toBe(2);
    });

    it('is heard by each who listens, and by nobody who stopped', async () => {
      const heard: string[] = [];
      const both = () => heard.push('both');
      const stop = news.listen(both);
      news.listen(both);
      news.listen(() => heard.push('another'));
      await news.tell();
      expect(heard.sort()).toEqual(['another', 'both', 'both']);
      stop();
      stop();
      await news.tell();
      expect(heard.sort()).toEqual(['another', 'another', 'both', 'both', 'both']);
    });

    it('may be listened to by who stops while it is told', async () => {
      const heard: string[] = [];
      const stop = news.listen(() => {
        heard.push('first');
        stop();
      });
      news.listen(() => heard.push('second'));
      await news.tell();
      expect(heard).toEqual(['first', 'second']);
    });

    it('is heard by nobody once it is closed, and telling goes on doing no harm', async () => {
      let heard = 0;
      news.listen(() => heard++);
      await news.close();
      await news.tell();
      expect(heard).toBe(0);
    });
  });
}
