import { describe, expect, it } from 'vitest';
import { failoverUrl, baseUrl } from '../../../src/player/failoverUrl';

const A = 'http://a/t/x/c1/';
const B = 'http://b:8080/r/0123/t/x/c1/';

describe('a file of a relay', () => {
  it.each([
    ['http://a/t/x/c1/v0-7.3.mp4?CMCD=a%2Fb', A],
    ['http://a/t/x/c1/', A],
    ['http://b:8080/r/0123/t/x/c1/index.m3u8#t=/1', B],
  ])('%s has its base URL', (url, base) => expect(baseUrl(url)).toBe(base));

  it('is requested from the current relay, with its query', () =>
    expect(failoverUrl(`${A}v0-7.3.mp4?CMCD=a%2Fb`, [A, B], B)).toBe(`${B}v0-7.3.mp4?CMCD=a%2Fb`));

  it.each([
    ['is already at the current relay', `${B}v0-7.3.mp4`, [A, B], B],
    ['is not at a relay', 'http://c/x.mp4', [A, B], B],
    ['would go to a URL that is not of a relay', `${A}x.mp4`, [A, B], 'http://c/'],
    ['has only one relay', `${A}x.mp4`, [A], A],
  ])('keeps its URL if it %s', (_, url, relays, current) =>
    expect(failoverUrl(url, relays, current)).toBe(url),
  );
});
