import { describe, expect, it } from 'vitest';
import { PlaybackStats } from '../../../src/player/playbackStats';
import type { Sample } from '../../../src/player/types';
import { sample } from '../../builders';

/** Samples every 250 ms; `speeds` gives the speed of each second. */
function play(stats: PlaybackStats, speeds: number[], changes: Partial<Sample> = {}, wanted = true): void {
  let position_s = 100;
  let at_ms = 0;
  stats.add(sample({ at_ms, position_s, ...changes }), wanted);
  for (const speed of speeds) {
    for (let quarter = 0; quarter < 4; quarter += 1) {
      at_ms += 250;
      position_s += speed / 4;
      stats.add(sample({ at_ms, position_s, ...changes }), wanted);
    }
  }
}

const seconds = (n: number, speed = 1): number[] => Array<number>(n).fill(speed);

describe('stalls', () => {
  it('are none during steady playback, also at the catch-up rate', () => {
    const stats = new PlaybackStats();
    play(stats, [...seconds(20), ...seconds(20, 1.1)]);
    expect([stats.stalls, stats.stalled_ms]).toEqual([0, 0]);
  });

  it('are counted, with their total length', () => {
    const stats = new PlaybackStats();
    play(stats, [...seconds(5), 0, 0, ...seconds(5), 0, ...seconds(5)]);
    expect([stats.stalls, stats.stalled_ms]).toEqual([2, 3000]);
    expect(stats.stalledNow).toBe(false);
  });

  it('do not include the start or a pause', () => {
    const stats = new PlaybackStats();
    play(stats, seconds(5, 0));
    play(stats, seconds(5, 0), {}, false);
    expect(stats.stalls).toBe(0);
  });

  it('do not include a seek', () => {
    const stats = new PlaybackStats();
    play(stats, seconds(4));
    stats.add(sample({ at_ms: 4250, position_s: 90, seeking: true }), true);
    expect(stats.stalls).toBe(0);
  });

  it('do not include a suspended tab', () => {
    const stats = new PlaybackStats();
    play(stats, seconds(4));
    stats.add(sample({ at_ms: 64_000, position_s: 104 }), true);
    expect(stats.stalls).toBe(0);
  });
});

describe('the quality', () => {
  it('is unknown at the start', () => {
    expect(new PlaybackStats().assess()).toEqual({ quality: 'unknown', cause: null });
  });

  it('is good during steady playback', () => {
    const stats = new PlaybackStats();
    play(stats, seconds(5));
    expect(stats.assess()).toEqual({ quality: 'good', cause: null });
  });

  it('names the own connection as the cause if playback stalls and the playlist grows', () => {
    const stats = new PlaybackStats();
    play(stats, [...seconds(3), 0.1, ...seconds(2)]);
    expect(stats.assess()).toEqual({ quality: 'fair', cause: 'own' });
    play(stats, [...seconds(3), ...seconds(3, 0)]);
    expect(stats.assess()).toEqual({ quality: 'poor', cause: 'own' });
  });

  it('names the teacher as the cause if playlists arrive but do not grow', () => {
    const stats = new PlaybackStats();
    play(stats, [...seconds(3), ...seconds(3, 0)], { live_edge_age_s: 4, response_age_s: 0.5 });
    expect(stats.assess()).toEqual({ quality: 'poor', cause: 'teacher' });
  });

  it('is fair before a stall if the throughput is close to the bitrate', () => {
    const stats = new PlaybackStats();
    play(stats, seconds(5), { throughput_bps: 1_100_000, bitrate_bps: 1_000_000 });
    expect(stats.assess()).toEqual({ quality: 'fair', cause: 'own' });
  });

  it('is good again half a minute after a stall', () => {
    const stats = new PlaybackStats();
    play(stats, [...seconds(2), 0, 0, ...seconds(32)]);
    expect(stats.assess().quality).toBe('good');
  });
});
