import { describe, expect, it } from 'vitest';
import { Recovery, type Cure } from '../../src/player/recovery';
import type { Sample } from '../../src/player/types';
import { sample } from '../builders';

/** One visit: the watchdog sees a sample every 250 ms and the engine does what it is told. */
class Visit {
  readonly recovery = new Recovery();
  cures: [number, Cure][] = [];
  #at_ms = 0;
  #now: Sample = sample({ target_s: 2, latency_s: 2 });

  run(seconds: number, speed: number, changes: Partial<Sample> = {}, following = true): this {
    this.#now = { ...this.#now, ...changes };
    for (const end_ms = this.#at_ms + seconds * 1000; this.#at_ms < end_ms; ) {
      this.#at_ms += 250;
      this.#now = { ...this.#now, at_ms: this.#at_ms, position_s: this.#now.position_s + speed / 4 };
      const cure = this.recovery.sampled(this.#now, true, following);
      if (cure !== 'none') this.cures.push([this.#at_ms / 1000, cure]);
    }
    return this;
  }

  /** The speed changes and the engine stands for a second. */
  stands(): this {
    return this.run(1, 0, { rate: 1.05 }).run(1, 1, { rate: 1 });
  }

  get told(): Cure[] {
    return this.cures.map(([, cure]) => cure);
  }
}

const blamed = (): Visit => new Visit().run(10, 1).stands();

describe('an engine that stood when its speed was changed', () => {
  it('may catch up again after a quiet minute, because it is late', () => {
    const visit = blamed().run(80, 1, { latency_s: 5 });
    expect(visit.told).toEqual(['even-pace', 'catch-up']);
    const [[stood_s], [again_s]] = visit.cures as [[number, Cure], [number, Cure]];
    expect(again_s - stood_s).toBeGreaterThanOrEqual(60);
    expect(again_s - stood_s).toBeLessThan(62);
    expect(visit.recovery.evenPace).toBe(false);
  });

  it('is left alone while it is in time, or where the student rewound', () => {
    expect(blamed().run(600, 1, { latency_s: 3 }).told).toEqual(['even-pace']);
    expect(blamed().run(600, 1, { latency_s: 5 }, false).told).toEqual(['even-pace']);
  });

  it('keeps an even pace again once it has caught up, and may try at once when it falls behind again', () => {
    const visit = blamed().run(70, 1, { latency_s: 5 }).run(20, 1, { rate: 1.1, latency_s: 3 }).run(2, 1, { rate: 1, latency_s: 2.1 });
    expect(visit.told).toEqual(['even-pace', 'catch-up', 'even-pace']);
    expect(visit.run(1, 1, { latency_s: 4 }).told.at(-1)).toBe('catch-up');
  });

  it('waits twice as long after the second time, and does not try after the third', () => {
    const visit = blamed().run(70, 1, { latency_s: 5 }).stands();
    expect(visit.run(110, 1).told).toEqual(['even-pace', 'catch-up', 'even-pace']);
    expect(visit.run(15, 1).told.at(-1)).toBe('catch-up');
    expect(visit.stands().run(3600, 1).told).toEqual(['even-pace', 'catch-up', 'even-pace', 'catch-up', 'even-pace']);
    expect(visit.recovery.evenPace).toBe(true);
  });

  it('begins the quiet minute anew with every stall', () => {
    const visit = blamed().run(50, 1, { latency_s: 5 }).run(1, 0).run(55, 1);
    expect(visit.told).toEqual(['even-pace']);
    expect(visit.run(10, 1).told.at(-1)).toBe('catch-up');
  });

  it('still jumps when it is far behind', () => {
    expect(blamed().run(1, 1, { latency_s: 15 }).told).toEqual(['even-pace', 'go-live']);
  });

  it('is not suspected where nothing is known of the delay', () => {
    expect(blamed().run(300, 1, { latency_s: null }).told).toEqual(['even-pace']);
  });
});

it('an engine that was never blamed is told nothing', () => {
  expect(new Visit().run(300, 1, { rate: 1.1, latency_s: 5 }).told).toEqual([]);
});
