import { describe, expect, it } from 'vitest';
import { PlaybackStats } from '../../src/player/stats';
import type { Sample } from '../../src/player/types';
import { sample } from '../builders';

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
  it('are none in a steady picture, at catch-up speed neither', () => {
    const stats = new PlaybackStats();
    play(stats, [...seconds(20), ...seconds(20, 1.1)]);
    expect([stats.stalls, stats.stalled_ms]).toEqual([0, 0]);
  });

  it('are counted as runs, with their length', () => {
    const stats = new PlaybackStats();
    play(stats, [...seconds(5), 0, 0, ...seconds(5), 0, ...seconds(5)]);
    expect([stats.stalls, stats.stalled_ms]).toEqual([2, 3000]);
    expect(stats.standing).toBe(false);
  });

  it('do not include the start or a pause', () => {
    const stats = new PlaybackStats();
    play(stats, seconds(5, 0));
    play(stats, seconds(5, 0), {}, false);
    expect(stats.stalls).toBe(0);
  });

  it('do not include a jump by hand', () => {
    const stats = new PlaybackStats();
    play(stats, seconds(4));
    stats.add(sample({ at_ms: 4250, position_s: 90, seeking: true }), true);
    expect(stats.stalls).toBe(0);
  });

  it('do not include the sleep of a tab', () => {
    const stats = new PlaybackStats();
    play(stats, seconds(4));
    stats.add(sample({ at_ms: 64_000, position_s: 104 }), true);
    expect(stats.stalls).toBe(0);
  });
});

describe('the verdict', () => {
  it('is not given before there is something to judge', () => {
    expect(new PlaybackStats().verdict()).toEqual({ quality: 'unknown', cause: null });
  });

  it('is good for a steady picture', () => {
    const stats = new PlaybackStats();
    play(stats, seconds(5));
    expect(stats.verdict()).toEqual({ quality: 'good', cause: null });
  });

  it('blames the own line when the picture stands and the stream goes on', () => {
    const stats = new PlaybackStats();
    play(stats, [...seconds(3), 0.1, ...seconds(2)]);
    expect(stats.verdict()).toEqual({ quality: 'fair', cause: 'own' });
    play(stats, [...seconds(3), ...seconds(3, 0)]);
    expect(stats.verdict()).toEqual({ quality: 'poor', cause: 'own' });
  });

  it('blames the teacher when playlists come but nothing new is in them', () => {
    const stats = new PlaybackStats();
    play(stats, [...seconds(3), ...seconds(3, 0)], { edge_age_s: 4, answer_age_s: 0.5 });
    expect(stats.verdict()).toEqual({ quality: 'poor', cause: 'teacher' });
  });

  it('warns of a line without room before it stalls', () => {
    const stats = new PlaybackStats();
    play(stats, seconds(5), { throughput_bps: 1_100_000, bitrate_bps: 1_000_000 });
    expect(stats.verdict()).toEqual({ quality: 'fair', cause: 'own' });
  });

  it('forgives after half a minute', () => {
    const stats = new PlaybackStats();
    play(stats, [...seconds(2), 0, 0, ...seconds(32)]);
    expect(stats.verdict().quality).toBe('good');
  });
});
