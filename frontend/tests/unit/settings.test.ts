import { describe, expect, it } from 'vitest';
import { aimOf, CATCH_UP_RATE, lowLatencyTarget, plainPlaylists, settings, withoutOldParts, withToken } from '../../src/player/settings';

describe('the measured settings', () => {
  it('catch up at no more than 1.1', () => expect(CATCH_UP_RATE).toBeLessThanOrEqual(1.1));

  it('keep two timeout retries of low-latency playlists: fewer kill the player when a teacher pauses', () => {
    expect(settings.playlistLoadPolicy?.default.timeoutRetry?.maxNumRetry).toBe(2);
  });

  it('find a hanging relay of a plain stream after a second', () => {
    expect(plainPlaylists.default.maxTimeToFirstByteMs).toBe(1000);
  });

  it('retry fragments also after a refused connection, eight times', () => {
    const retry = settings.fragLoadPolicy?.default.errorRetry;
    const tries = Array.from({ length: 10 }, (_, count) => retry?.shouldRetry?.(retry, count, false, undefined, false));
    expect(tries.filter(Boolean)).toHaveLength(8);
  });

  it('stay near the edge, but never nearer than the rate control can hold', () => {
    expect(lowLatencyTarget(0.2)).toBe(1.5);
    expect(lowLatencyTarget(0.5)).toBeCloseTo(1.75);
    expect(lowLatencyTarget(1)).toBeCloseTo(3.5);
  });
});

describe('the aim', () => {
  it('of a low-latency playlist comes from its parts', () => {
    expect(aimOf('#EXTM3U\n#EXT-X-PART-INF:PART-TARGET=0.55000\n#EXTINF:2,\na.mp4')).toEqual({ lowLatency: true, target_s: 1.9250000000000003 });
  });

  const parts = (...lengths_s: number[]): string =>
    ['#EXTM3U', '#EXT-X-PART-INF:PART-TARGET=1.60000', ...lengths_s.map((s, n) => `#EXT-X-PART:DURATION=${s},URI="p${n}.mp4"`)].join('\n');

  it('comes from what parts usually are, not from a bound that one hiccup has stretched', () => {
    expect(aimOf(parts(0.5, 0.5, 0.4, 0.5, 0.1)).target_s).toBeCloseTo(1.75);
    expect(aimOf(parts(0.2, 0.2, 0.2)).target_s).toBe(1.5);
  });

  it('stays behind the longest part that is listed', () => {
    expect(aimOf(parts(0.5, 0.5, 1.6, 0.5)).target_s).toBeCloseTo(3.2);
  });

  it('is the bound while no part is listed', () => {
    expect(aimOf(parts()).target_s).toBeCloseTo(5.6);
  });

  it('of a plain playlist comes from its segments, not from its rounded target duration', () => {
    expect(aimOf('#EXT-X-TARGETDURATION:4\n#EXTINF:2.0,\na.ts\n#EXTINF:2.2,\nb.ts')).toEqual({ lowLatency: false, target_s: expect.closeTo(6.3) as number });
  });

  it('is left to the player where a playlist is empty', () => {
    expect(aimOf('#EXTM3U')).toEqual({ lowLatency: false, target_s: null });
  });
});

describe('the token in an address', () => {
  it.each([
    ['http://r/t/old/c1/video1_stream.m3u8?_HLS_msn=3', 'http://r/t/new/c1/video1_stream.m3u8?_HLS_msn=3'],
    ['https://r/base/t/old/c1/seg.mp4', 'https://r/base/t/new/c1/seg.mp4'],
    ['/live/c1/index.m3u8?token=old', '/live/c1/index.m3u8?token=new'],
    ['/steering/c1?x=1&token=old&_HLS_pathway=a', '/steering/c1?x=1&token=new&_HLS_pathway=a'],
    ['http://r/c1/index.m3u8', 'http://r/c1/index.m3u8'],
  ])('%s', (before, after) => expect(withToken(before, 'new')).toBe(after));

  it('is put in as it is, whatever signs it holds', () => {
    expect(withToken('/t/old/c1/a', '$&.x-y_z')).toBe('/t/$&.x-y_z/c1/a');
  });
});

describe('a playlist after a move', () => {
  const part = (name: string): string => `#EXT-X-PART:DURATION=0.5,URI="${name}.mp4"`;
  const head = '#EXTM3U\n#EXT-X-PART-INF:PART-TARGET=0.5\n#EXT-X-MEDIA-SEQUENCE:11\n';
  const complete = `${part('11.0')}\n${part('11.1')}\n#EXTINF:1.0,\n11.mp4\n`;
  const tail = '#EXT-X-PRELOAD-HINT:TYPE=PART,URI="12.1.mp4"\n';

  it('keeps the parts of the open segment and all else', () => {
    const playlist = `${head}${complete}${part('12.0')}\n${tail}`;
    expect(withoutOldParts(playlist)).toBe(`${head}#EXTINF:1.0,\n11.mp4\n${part('12.0')}\n${tail}`);
  });

  it('keeps them all when no segment is open: without any part hls.js would wait for a whole segment', () => {
    expect(withoutOldParts(head + complete + tail)).toBe(head + complete + tail);
  });

  it('keeps every part before the first segment is complete', () => {
    expect(withoutOldParts(`${head}${part('11.0')}\n`)).toBe(`${head}${part('11.0')}\n`);
  });
});
