// Decides whether the player may raise its playback rate to catch up. hls.js does so in small steps whenever
// it is a little late, but some engines stall when the rate changes on a busy machine. Pure: samples in,
// actions out.
import type { Sample } from './types';

/** A stall this soon after a rate change, with this much media buffered, is blamed on the rate change. */
const BLAME_WITHIN_MS = 3_000;
const BLAME_AFTER_MS = 700;
const MIN_BUFFER_S = 0.5;
/** Catch-up is allowed again after this time without a stall. The time doubles with each blamed stall. */
const FIRST_QUIET_MS = 60_000;
/** After this many blamed stalls, catch-up stays blocked for the rest of the visit. */
const MAX_BLAMED_STALLS = 3;
/** Allow catch-up again when this far behind the target, and block it again when caught up. */
const LATE_S = 1.5;
const CAUGHT_UP_S = 0.3;

export class CatchUpGuard {
  /** The playback rate must stay at 1, also in a new player. */
  blocked = false;
  #blamedStalls = 0;
  #rate: number | null = null;
  #rateChangedAt_ms: number | null = null;
  #quietSince_ms = 0;

  /** Record a sample. Call this before `stalled` and `moving`. */
  record(sample: Sample): void {
    if (this.#rate !== null && this.#rate !== sample.rate) this.#rateChangedAt_ms = sample.at_ms;
    this.#rate = sample.rate;
  }

  /** The position has not moved since `movedAt_ms`: block catch-up if a rate change caused the stall. */
  stalled(sample: Sample, movedAt_ms: number): 'block-catch-up' | 'none' {
    this.#quietSince_ms = sample.at_ms;
    if (this.blocked || this.#rateChangedAt_ms === null || sample.buffer_s < MIN_BUFFER_S) return 'none';
    if (movedAt_ms - this.#rateChangedAt_ms >= BLAME_WITHIN_MS || sample.at_ms - movedAt_ms < BLAME_AFTER_MS)
      return 'none';
    this.#blamedStalls += 1;
    this.blocked = true;
    return 'block-catch-up';
  }

  /** The position moves. After a blamed stall, catch-up is allowed only while the player is late. */
  moving(sample: Sample, following: boolean): 'block-catch-up' | 'allow-catch-up' | 'none' {
    if (this.#blamedStalls === 0 || sample.latency_s === null || sample.target_s === null) return 'none';
    const late_s = sample.latency_s - sample.target_s;
    if (!this.blocked) {
      if (late_s > CAUGHT_UP_S || sample.rate !== 1) return 'none';
      this.blocked = true;
      return 'block-catch-up';
    }
    const quiet_ms = FIRST_QUIET_MS * 2 ** (this.#blamedStalls - 1);
    if (
      !following ||
      this.#blamedStalls >= MAX_BLAMED_STALLS ||
      late_s < LATE_S ||
      sample.at_ms - this.#quietSince_ms < quiet_ms
    )
      return 'none';
    this.blocked = false;
    return 'allow-catch-up';
  }
}
