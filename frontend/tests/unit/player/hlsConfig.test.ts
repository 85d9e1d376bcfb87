import { describe, expect, it } from 'vitest';
import {
  CATCH_UP_RATE,
  lowLatencyTarget,
  plainPlaylists,
  settings,
  targetLatency,
} from '../../../src/player/hlsConfig';

describe('settings', () => {
  it('limit catch-up to a rate of 1.1', () => expect(CATCH_UP_RATE).toBeLessThanOrEqual(1.1));

  it('keep two timeout retries of low-latency playlists: with fewer, a pause of the teacher is fatal', () => {
    expect(settings.playlistLoadPolicy?.default.timeoutRetry?.maxNumRetry).toBe(2);
  });

  it('detect a hanging relay of a regular-latency stream after a second', () => {
    expect(plainPlaylists.default.maxTimeToFirstByteMs).toBe(1000);
  });

  it('retry a fragment eight times after a refused connection', () => {
    const retry = settings.fragLoadPolicy?.default.errorRetry;
    const tries = Array.from({ length: 10 }, (_, count) =>
      retry?.shouldRetry?.(retry, count, false, undefined, false),
    );
    expect(tries.filter(Boolean)).toHaveLength(8);
  });

  it('derive the low-latency target from the part duration, with a minimum', () => {
    expect(lowLatencyTarget(0.2)).toBe(1.5);
    expect(lowLatencyTarget(0.5)).toBeCloseTo(1.75);
    expect(lowLatencyTarget(1)).toBeCloseTo(3.5);
  });
});

describe('the target latency', () => {
  it('of a low-latency playlist depends on its parts', () => {
    expect(targetLatency('#EXTM3U\n#EXT-X-PART-INF:PART-TARGET=0.55000\n#EXTINF:2,\na.mp4')).toEqual({
      lowLatency: true,
      target_s: 1.9250000000000003,
    });
  });

  const parts = (...lengths_s: number[]): string =>
    [
      '#EXTM3U',
      '#EXT-X-PART-INF:PART-TARGET=1.60000',
      ...lengths_s.map((s, n) => `#EXT-X-PART:DURATION=${s},URI="p${n}.mp4"`),
    ].join('\n');

  it('depends on the median part, not on PART-TARGET', () => {
    expect(targetLatency(parts(0.5, 0.5, 0.4, 0.5, 0.1)).target_s).toBeCloseTo(1.75);
    expect(targetLatency(parts(0.2, 0.2, 0.2)).target_s).toBe(1.5);
  });

  it('is more than the longest listed part', () => {
    expect(targetLatency(parts(0.5, 0.5, 1.6, 0.5)).target_s).toBeCloseTo(3.2);
  });

  it('depends on PART-TARGET if no part is listed', () => {
    expect(targetLatency(parts()).target_s).toBeCloseTo(5.6);
  });

  it('of a regular-latency playlist depends on its segments, not on the rounded target duration', () => {
    expect(targetLatency('#EXT-X-TARGETDURATION:4\n#EXTINF:2.0,\na.ts\n#EXTINF:2.2,\nb.ts')).toEqual({
      lowLatency: false,
      target_s: expect.closeTo(6.3) as number,
    });
  });

  it('is unknown for an empty playlist', () => {
    expect(targetLatency('#EXTM3U')).toEqual({ lowLatency: false, target_s: null });
  });
});
