// Whether the player may change its speed to catch up. hls.js does so in small steps whenever it is a
// little late; some engines, busy, stand still when that happens. Pure: samples in, cures out.
import type { Sample } from './types';

/** Standing so soon after a change of speed, with so much media in hand, is the engine's own doing. */
const BLAME_SPEED_MS = 3_000;
const BLAME_AFTER_MS = 700;
const ENOUGH_BUFFER_S = 0.5;
/** After so long without standing still it may be tried again, twice as long after every failure. */
const FIRST_QUIET_MS = 60_000;
/** So often; then no more in this visit. */
const MOST_BLAMES = 3;
/** Behind the target: worth a try; and caught up. */
const WORTH_S = 1.5;
const CAUGHT_UP_S = 0.3;

export class Pace {
  /** The speed must not be changed now, also not by a new player. */
  even = false;
  #blames = 0;
  #rate: number | null = null;
  #changedAt_ms: number | null = null;
  #quietSince_ms = 0;

  /** To be told of every sample, before anything else is asked. */
  saw(sample: Sample): void {
    if (this.#rate !== null && this.#rate !== sample.rate) this.#changedAt_ms = sample.at_ms;
    this.#rate = sample.rate;
  }

  /** The picture stands since `movedAt_ms`: was it the change of speed? */
  stands(sample: Sample, movedAt_ms: number): 'even-pace' | 'none' {
    this.#quietSince_ms = sample.at_ms;
    if (this.even || this.#changedAt_ms === null || sample.buffer_s < ENOUGH_BUFFER_S) return 'none';
    if (movedAt_ms - this.#changedAt_ms >= BLAME_SPEED_MS || sample.at_ms - movedAt_ms < BLAME_AFTER_MS) return 'none';
    this.#blames += 1;
    this.even = true;
    return 'even-pace';
  }

  /** The picture moves. Once blamed, the speed is free only while there is something to catch up. */
  moves(sample: Sample, following: boolean): 'even-pace' | 'catch-up' | 'none' {
    if (this.#blames === 0 || sample.latency_s === null || sample.target_s === null) return 'none';
    const late_s = sample.latency_s - sample.target_s;
    if (!this.even) {
      if (late_s > CAUGHT_UP_S || sample.rate !== 1) return 'none';
      this.even = true;
      return 'even-pace';
    }
    const quiet_ms = FIRST_QUIET_MS * 2 ** (this.#blames - 1);
    if (!following || this.#blames >= MOST_BLAMES || late_s < WORTH_S || sample.at_ms - this.#quietSince_ms < quiet_ms) return 'none';
    this.even = false;
    return 'catch-up';
  }
}
