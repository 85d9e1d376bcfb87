import { describe, expect, it } from 'vitest';
import { Recovery, type Cure } from '../../src/player/recovery';
import { sample } from '../builders';

/** Feed one sample every 250 ms; the position moves by `speed`. Returns the cures with their seconds. */
function run(recovery: Recovery, seconds: number, speed: number, from_ms = 0, wanted = true, following = true): [number, Cure][] {
  const cures: [number, Cure][] = [];
  for (let at_ms = from_ms; at_ms <= from_ms + seconds * 1000; at_ms += 250) {
    const cure = recovery.sampled(sample({ at_ms, position_s: 100 + ((at_ms - from_ms) / 1000) * speed }), wanted, following);
    if (cure !== 'none') cures.push([(at_ms - from_ms) / 1000, cure]);
  }
  return cures;
}

describe('the watchdog', () => {
  it('leaves a moving picture alone', () => {
    expect(run(new Recovery(), 120, 1)).toEqual([]);
  });

  it('climbs from the mildest cure to the strongest when nothing moves and nothing was reported', () => {
    const cures = run(new Recovery(), 40, 0);
    expect(cures.map(([, cure]) => cure)).toEqual(['start-load', 'go-live', 'reload', 'rebuild', 'rebuild']);
    expect(cures[0]?.[0]).toBeCloseTo(3, 0);
    expect(cures[2]?.[0]).toBeCloseTo(8, 0);
  });

  it('starts again from the bottom after the picture moved', () => {
    const recovery = new Recovery();
    run(recovery, 6, 0);
    run(recovery, 2, 1, 6_250);
    expect(run(recovery, 4, 0, 8_500).map(([, cure]) => cure)).toEqual(['start-load']);
  });

  it('waits patiently while nothing is expected', () => {
    expect(run(new Recovery(), 60, 0, 0, false)).toEqual([]);
  });

  it('takes slow motion for standing still', () => {
    expect(run(new Recovery(), 4, 0.2).map(([, cure]) => cure)).toEqual(['start-load']);
  });

  it('brings back a student who fell far behind, but not one who rewound', () => {
    const far = { latency_s: 20, target_s: 2 };
    const recovery = new Recovery();
    recovery.sampled(sample({ at_ms: 0, position_s: 0, ...far }), true, true);
    recovery.sampled(sample({ at_ms: 250, position_s: 0.25, ...far }), true, false);
    expect(recovery.sampled(sample({ at_ms: 500, position_s: 0.5, ...far }), true, false)).toBe('none');
    expect(recovery.sampled(sample({ at_ms: 750, position_s: 0.75, ...far }), true, true)).toBe('go-live');
    expect(recovery.sampled(sample({ at_ms: 1000, position_s: 1, ...far }), true, true)).toBe('none');
  });

  it('knows that a negative delay is a player gone astray', () => {
    const recovery = new Recovery();
    recovery.sampled(sample({ at_ms: 0, position_s: 0 }), true, true);
    recovery.sampled(sample({ at_ms: 250, position_s: 0.25 }), true, true);
    expect(recovery.sampled(sample({ at_ms: 500, position_s: 0.5, latency_s: -3 }), true, true)).toBe('go-live');
  });

  it('does not take sleep for a stall', () => {
    const recovery = new Recovery();
    run(recovery, 2, 1);
    expect(recovery.sampled(sample({ at_ms: 602_000, position_s: 102 }), true, true)).toBe('none');
  });

  it.each([[3, 'none'], [5, 'go-live']] as const)('after sleep and %i s behind the target it does: %s', (late_s, cure) => {
    const recovery = new Recovery();
    run(recovery, 2, 1);
    const awake = { at_ms: 9_000, position_s: 102, target_s: 2, latency_s: late_s };
    expect(recovery.sampled(sample(awake), true, false)).toBe('none'); // who rewound stays there
    expect(recovery.sampled(sample({ ...awake, at_ms: 16_000 }), true, true)).toBe(cure);
  });
});

describe('an engine that stands when its speed is changed', () => {
  /** Play for 2 s, change the speed, then stand with this much media in hand. */
  function changeSpeedAndStand(buffer_s: number, recovery = new Recovery()): [number, Cure][] {
    run(recovery, 2, 1);
    const cures: [number, Cure][] = [];
    for (let at_ms = 2_250; at_ms <= 8_000; at_ms += 250) {
      const cure = recovery.sampled(sample({ at_ms, position_s: 102, rate: 1.05, buffer_s }), true, true);
      if (cure !== 'none') cures.push([(at_ms - 2_000) / 1000, cure]);
    }
    return cures;
  }

  it('keeps an even pace from then on', () => {
    const recovery = new Recovery();
    expect(recovery.evenPace).toBe(false);
    expect(changeSpeedAndStand(2, recovery)[0]).toEqual([0.75, 'even-pace']);
    expect(recovery.evenPace).toBe(true);
  });

  it('is told only once; what does not help is followed by the usual cures', () => {
    expect(changeSpeedAndStand(2).map(([, cure]) => cure)).toEqual(['even-pace', 'start-load', 'go-live']);
  });

  it('is not blamed for an empty buffer: there the network is slow', () => {
    expect(changeSpeedAndStand(0.2).map(([, cure]) => cure)).toEqual(['start-load', 'go-live']);
  });

  it('is not blamed for a stall long after the change', () => {
    const recovery = new Recovery();
    for (let at_ms = 0; at_ms <= 6_000; at_ms += 250) {
      recovery.sampled(sample({ at_ms, position_s: at_ms / 1000, rate: at_ms < 1_000 ? 1 : 1.05 }), true, true);
    }
    for (let at_ms = 6_250; at_ms <= 8_500; at_ms += 250) {
      expect(recovery.sampled(sample({ at_ms, position_s: 6, rate: 1.05 }), true, true)).toBe('none');
    }
  });
});

describe('fatal errors', () => {
  it('first only lets the player go on, then asks the master', () => {
    const recovery = new Recovery();
    expect([0, 100, 200].map((at_ms) => recovery.fault('network', at_ms))).toEqual(['start-load', 'start-load', 'reload']);
  });

  it('forgets old network faults', () => {
    const recovery = new Recovery();
    expect([0, 9_000, 19_500, 30_000].map((at_ms) => recovery.fault('network', at_ms))).toEqual(Array(4).fill('start-load'));
  });

  it('never reloads more than once in four seconds', () => {
    const recovery = new Recovery();
    const cures = Array.from({ length: 40 }, (_, i) => recovery.fault('network', i * 100));
    expect(cures.filter((cure) => cure === 'reload')).toHaveLength(1);
  });

  it('recovers media at most once in five seconds, then builds anew', () => {
    const recovery = new Recovery();
    expect(recovery.fault('media', 0)).toBe('recover-media');
    expect(recovery.fault('media', 1_000)).toBe('rebuild');
    expect(recovery.fault('media', 2_000)).toBe('none');
    expect(recovery.fault('media', 6_000)).toBe('recover-media');
  });

  it('builds anew for everything else', () => {
    expect(new Recovery().fault('other', 0)).toBe('rebuild');
  });
});
