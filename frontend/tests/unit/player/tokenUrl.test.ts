import { describe, expect, it } from 'vitest';
import { withToken } from '../../../src/player/tokenUrl';

describe('the token in a URL', () => {
  it.each([
    ['http://r/t/old/c1/video1_stream.m3u8?_HLS_msn=3', 'http://r/t/new/c1/video1_stream.m3u8?_HLS_msn=3'],
    ['https://r/base/t/old/c1/seg.mp4', 'https://r/base/t/new/c1/seg.mp4'],
    ['/live/c1/index.m3u8?token=old', '/live/c1/index.m3u8?token=new'],
    ['/steering/c1?x=1&token=old&_HLS_pathway=a', '/steering/c1?x=1&token=new&_HLS_pathway=a'],
    ['http://r/c1/index.m3u8', 'http://r/c1/index.m3u8'],
  ])('%s', (before, after) => expect(withToken(before, 'new')).toBe(after));

  it('is inserted literally', () => {
    expect(withToken('/t/old/c1/a', '$&.x-y_z')).toBe('/t/$&.x-y_z/c1/a');
  });
});
