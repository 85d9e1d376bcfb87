import { describe, expect, it } from 'vitest';
import { Recovery, type RecoveryAction } from '../../../src/player/recovery';
import { sample } from '../../builders';

/** Record a sample every 250 ms at a playback speed. Returns the actions with their seconds. */
function run(
  recovery: Recovery,
  seconds: number,
  speed: number,
  from_ms = 0,
  wanted = true,
  following = true,
): [number, RecoveryAction][] {
  const actions: [number, RecoveryAction][] = [];
  for (let at_ms = from_ms; at_ms <= from_ms + seconds * 1000; at_ms += 250) {
    const action = recovery.sampled(
      sample({ at_ms, position_s: 100 + ((at_ms - from_ms) / 1000) * speed }),
      wanted,
      following,
    );
    if (action !== 'none') actions.push([(at_ms - from_ms) / 1000, action]);
  }
  return actions;
}

describe('while the position is watched', () => {
  it('does nothing during playback', () => {
    expect(run(new Recovery(), 120, 1)).toEqual([]);
  });

  it('goes from the mildest action to the strongest if playback stalls without an error', () => {
    const actions = run(new Recovery(), 40, 0);
    expect(actions.map(([, action]) => action)).toEqual([
      'start-load',
      'go-live',
      'reload',
      'rebuild',
      'rebuild',
    ]);
    expect(actions[0]?.[0]).toBeCloseTo(3, 0);
    expect(actions[2]?.[0]).toBeCloseTo(8, 0);
  });

  it('starts again with the mildest action after the position moved', () => {
    const recovery = new Recovery();
    run(recovery, 6, 0);
    run(recovery, 2, 1, 6_250);
    expect(run(recovery, 4, 0, 8_500).map(([, action]) => action)).toEqual(['start-load']);
  });

  it('does nothing while playback is not wanted', () => {
    expect(run(new Recovery(), 60, 0, 0, false)).toEqual([]);
  });

  it('treats very slow playback as a stall', () => {
    expect(run(new Recovery(), 4, 0.2).map(([, action]) => action)).toEqual(['start-load']);
  });

  it('seeks to the live position if a student is far behind, but not if they rewound', () => {
    const far = { latency_s: 20, target_s: 2 };
    const recovery = new Recovery();
    recovery.sampled(sample({ at_ms: 0, position_s: 0, ...far }), true, true);
    recovery.sampled(sample({ at_ms: 250, position_s: 0.25, ...far }), true, false);
    expect(recovery.sampled(sample({ at_ms: 500, position_s: 0.5, ...far }), true, false)).toBe('none');
    expect(recovery.sampled(sample({ at_ms: 750, position_s: 0.75, ...far }), true, true)).toBe('go-live');
    expect(recovery.sampled(sample({ at_ms: 1000, position_s: 1, ...far }), true, true)).toBe('none');
  });

  it('seeks to the live position if the latency is negative', () => {
    const recovery = new Recovery();
    recovery.sampled(sample({ at_ms: 0, position_s: 0 }), true, true);
    recovery.sampled(sample({ at_ms: 250, position_s: 0.25 }), true, true);
    expect(recovery.sampled(sample({ at_ms: 500, position_s: 0.5, latency_s: -3 }), true, true)).toBe(
      'go-live',
    );
  });

  it('does not treat a suspended tab as a stall', () => {
    const recovery = new Recovery();
    run(recovery, 2, 1);
    expect(recovery.sampled(sample({ at_ms: 602_000, position_s: 102 }), true, true)).toBe('none');
  });

  it.each([
    [3, 'none'],
    [5, 'go-live'],
  ] as const)('after a suspended tab and %i s behind the target: %s', (late_s, expected) => {
    const recovery = new Recovery();
    run(recovery, 2, 1);
    const awake = { at_ms: 9_000, position_s: 102, target_s: 2, latency_s: late_s };
    expect(recovery.sampled(sample(awake), true, false)).toBe('none');
    expect(recovery.sampled(sample({ ...awake, at_ms: 16_000 }), true, true)).toBe(expected);
  });
});

describe('an engine that stalls when the playback rate changes', () => {
  /** Play for 2 s, change the rate, then stall with this much media buffered. */
  function changeRateAndStall(buffer_s: number, recovery = new Recovery()): [number, RecoveryAction][] {
    run(recovery, 2, 1);
    const actions: [number, RecoveryAction][] = [];
    for (let at_ms = 2_250; at_ms <= 8_000; at_ms += 250) {
      const action = recovery.sampled(sample({ at_ms, position_s: 102, rate: 1.05, buffer_s }), true, true);
      if (action !== 'none') actions.push([(at_ms - 2_000) / 1000, action]);
    }
    return actions;
  }

  it('has catch-up blocked', () => {
    const recovery = new Recovery();
    expect(recovery.catchUpBlocked).toBe(false);
    expect(changeRateAndStall(2, recovery)[0]).toEqual([0.75, 'block-catch-up']);
    expect(recovery.catchUpBlocked).toBe(true);
  });

  it('is blocked once; then the usual actions follow', () => {
    expect(changeRateAndStall(2).map(([, action]) => action)).toEqual([
      'block-catch-up',
      'start-load',
      'go-live',
    ]);
  });

  it('is not blamed if the buffer is empty', () => {
    expect(changeRateAndStall(0.2).map(([, action]) => action)).toEqual(['start-load', 'go-live']);
  });

  it('is not blamed for a stall long after the rate change', () => {
    const recovery = new Recovery();
    for (let at_ms = 0; at_ms <= 6_000; at_ms += 250) {
      recovery.sampled(
        sample({ at_ms, position_s: at_ms / 1000, rate: at_ms < 1_000 ? 1 : 1.05 }),
        true,
        true,
      );
    }
    for (let at_ms = 6_250; at_ms <= 8_500; at_ms += 250) {
      expect(recovery.sampled(sample({ at_ms, position_s: 6, rate: 1.05 }), true, true)).toBe('none');
    }
  });
});

describe('fatal errors', () => {
  it('first restart loading, then reload', () => {
    const recovery = new Recovery();
    expect([0, 100, 200].map((at_ms) => recovery.fault('network', at_ms))).toEqual([
      'start-load',
      'start-load',
      'reload',
    ]);
  });

  it('do not count old network errors', () => {
    const recovery = new Recovery();
    expect([0, 9_000, 19_500, 30_000].map((at_ms) => recovery.fault('network', at_ms))).toEqual(
      Array(4).fill('start-load'),
    );
  });

  it('reload at most once in four seconds', () => {
    const recovery = new Recovery();
    const actions = Array.from({ length: 40 }, (_, i) => recovery.fault('network', i * 100));
    expect(actions.filter((action) => action === 'reload')).toHaveLength(1);
  });

  it('recover media at most once in five seconds, otherwise rebuild', () => {
    const recovery = new Recovery();
    expect(recovery.fault('media', 0)).toBe('recover-media');
    expect(recovery.fault('media', 1_000)).toBe('rebuild');
    expect(recovery.fault('media', 2_000)).toBe('none');
    expect(recovery.fault('media', 6_000)).toBe('recover-media');
  });

  it('rebuild for every other error', () => {
    expect(new Recovery().fault('other', 0)).toBe('rebuild');
  });
});
