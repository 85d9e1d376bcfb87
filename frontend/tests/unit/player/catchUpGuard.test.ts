import { describe, expect, it } from 'vitest';
import { Recovery, type RecoveryAction } from '../../../src/player/recovery';
import type { Sample } from '../../../src/player/types';
import { sample } from '../../builders';

/** A visit with a sample every 250 ms, in which the engine follows the actions. */
class Visit {
  readonly recovery = new Recovery();
  actions: [number, RecoveryAction][] = [];
  #at_ms = 0;
  #now: Sample = sample({ target_s: 2, latency_s: 2 });

  run(seconds: number, speed: number, changes: Partial<Sample> = {}, following = true): this {
    this.#now = { ...this.#now, ...changes };
    for (const end_ms = this.#at_ms + seconds * 1000; this.#at_ms < end_ms;) {
      this.#at_ms += 250;
      this.#now = { ...this.#now, at_ms: this.#at_ms, position_s: this.#now.position_s + speed / 4 };
      const action = this.recovery.sampled(this.#now, true, following);
      if (action !== 'none') this.actions.push([this.#at_ms / 1000, action]);
    }
    return this;
  }

  /** The rate changes and the engine stalls for a second. */
  stall(): this {
    return this.run(1, 0, { rate: 1.05 }).run(1, 1, { rate: 1 });
  }

  get names(): RecoveryAction[] {
    return this.actions.map(([, action]) => action);
  }
}

const blamed = (): Visit => new Visit().run(10, 1).stall();

describe('an engine that stalled when the rate changed', () => {
  it('may catch up again after a minute without a stall, if it is late', () => {
    const visit = blamed().run(80, 1, { latency_s: 5 });
    expect(visit.names).toEqual(['block-catch-up', 'allow-catch-up']);
    const [[blocked_s], [allowed_s]] = visit.actions as [[number, RecoveryAction], [number, RecoveryAction]];
    expect(allowed_s - blocked_s).toBeGreaterThanOrEqual(60);
    expect(allowed_s - blocked_s).toBeLessThan(62);
    expect(visit.recovery.catchUpBlocked).toBe(false);
  });

  it('may not catch up while it is in time, or if the student rewound', () => {
    expect(blamed().run(600, 1, { latency_s: 3 }).names).toEqual(['block-catch-up']);
    expect(blamed().run(600, 1, { latency_s: 5 }, false).names).toEqual(['block-catch-up']);
  });

  it('is blocked when it has caught up, and allowed at once when it is late again', () => {
    const visit = blamed()
      .run(70, 1, { latency_s: 5 })
      .run(20, 1, { rate: 1.1, latency_s: 3 })
      .run(2, 1, { rate: 1, latency_s: 2.1 });
    expect(visit.names).toEqual(['block-catch-up', 'allow-catch-up', 'block-catch-up']);
    expect(visit.run(1, 1, { latency_s: 4 }).names.at(-1)).toBe('allow-catch-up');
  });

  it('waits twice as long after the second stall, and is blocked for good after the third', () => {
    const visit = blamed().run(70, 1, { latency_s: 5 }).stall();
    expect(visit.run(110, 1).names).toEqual(['block-catch-up', 'allow-catch-up', 'block-catch-up']);
    expect(visit.run(15, 1).names.at(-1)).toBe('allow-catch-up');
    expect(visit.stall().run(3600, 1).names).toEqual([
      'block-catch-up',
      'allow-catch-up',
      'block-catch-up',
      'allow-catch-up',
      'block-catch-up',
    ]);
    expect(visit.recovery.catchUpBlocked).toBe(true);
  });

  it('restarts the minute with every stall', () => {
    const visit = blamed().run(50, 1, { latency_s: 5 }).run(1, 0).run(55, 1);
    expect(visit.names).toEqual(['block-catch-up']);
    expect(visit.run(10, 1).names.at(-1)).toBe('allow-catch-up');
  });

  it('still seeks to the live position if it is far behind', () => {
    expect(blamed().run(1, 1, { latency_s: 15 }).names).toEqual(['block-catch-up', 'go-live']);
  });

  it('stays blocked while the latency is unknown', () => {
    expect(blamed().run(300, 1, { latency_s: null }).names).toEqual(['block-catch-up']);
  });
});

it('an engine that never stalled is not blocked', () => {
  expect(new Visit().run(300, 1, { rate: 1.1, latency_s: 5 }).names).toEqual([]);
});
