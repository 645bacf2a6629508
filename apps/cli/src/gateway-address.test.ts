import { describe, expect, it } from 'vitest';
import { urlOfGateway } from './gateway-address.js';

describe('urlOfGateway', () => {
  it('takes an address with or without the path of the API', () => {
    for (const end of ['', '/', '/v1', '/v1/']) {
      expect(urlOfGateway(`http://10.0.0.5:8000${end}`)).toBe('http://10.0.0.5:8000');
    }
    expect(urlOfGateway('https://example.org/llm/v1')).toBe('https://example.org/llm');
  });

  it.each(['notaurl', 'localhost:8000', '', 'ftp://a', 'http://'])('says what an address looks like, not %j', (url) => {
    expect(() => urlOfGateway(url)).toThrow(
      `--url is ${JSON.stringify(url)}, which is no address of a server. Write one such as http://127.0.0.1:8000.`,
    );
  });
});
