import { describe, expect, it } from 'vitest';
import { atRelay, folderOf } from '../../src/player/relays';

const A = 'http://a/t/x/c1/';
const B = 'http://b:8080/r/0123/t/x/c1/';

describe('an object of a relay', () => {
  it.each([
    ['http://a/t/x/c1/v0-7.3.mp4?CMCD=a%2Fb', A],
    ['http://a/t/x/c1/', A],
    ['http://b:8080/r/0123/t/x/c1/index.m3u8#t=/1', B],
  ])('%s lies in its folder', (url, folder) => expect(folderOf(url)).toBe(folder));

  it('is asked for at the relay that is played from now, with its query', () =>
    expect(atRelay(`${A}v0-7.3.mp4?CMCD=a%2Fb`, [A, B], B)).toBe(`${B}v0-7.3.mp4?CMCD=a%2Fb`));

  it.each([
    ['is there already', `${B}v0-7.3.mp4`, [A, B], B],
    ['is of a place that is no relay', 'http://c/x.mp4', [A, B], B],
    ['would go to a place that is no relay', `${A}x.mp4`, [A, B], 'http://c/'],
    ['has only one relay', `${A}x.mp4`, [A], A],
  ])('stays where it is when it %s', (_, url, folders, here) => expect(atRelay(url, folders, here)).toBe(url));
});
