import { describe, expect, it } from 'vitest';
import { dropPartsOfCompleteSegments } from '../../../src/player/playlistFilter';

describe('a playlist after a pathway switch', () => {
  const part = (name: string): string => `#EXT-X-PART:DURATION=0.5,URI="${name}.mp4"`;
  const head = '#EXTM3U\n#EXT-X-PART-INF:PART-TARGET=0.5\n#EXT-X-MEDIA-SEQUENCE:11\n';
  const complete = `${part('11.0')}\n${part('11.1')}\n#EXTINF:1.0,\n11.mp4\n`;
  const tail = '#EXT-X-PRELOAD-HINT:TYPE=PART,URI="12.1.mp4"\n';

  it('loses the parts of complete segments', () => {
    const playlist = `${head}${complete}${part('12.0')}\n${tail}`;
    expect(dropPartsOfCompleteSegments(playlist)).toBe(
      `${head}#EXTINF:1.0,\n11.mp4\n${part('12.0')}\n${tail}`,
    );
  });

  it('keeps all parts if no segment is open: without parts hls.js would wait for a complete segment', () => {
    expect(dropPartsOfCompleteSegments(head + complete + tail)).toBe(head + complete + tail);
  });

  it('keeps all parts before the first complete segment', () => {
    expect(dropPartsOfCompleteSegments(`${head}${part('11.0')}\n`)).toBe(`${head}${part('11.0')}\n`);
  });
});
