// What to do when playback dies, with or without an error. One kind of death raises none, so this also
// watches whether the picture moves. Pure: samples and faults with their time in, cures out.
import { Pace } from './pace';
import type { FaultKind, Sample } from './types';

export type Cure =
  | 'none'
  | 'start-load' // hls.js stopped after a fatal error: let it go on
  | 'recover-media' // re-attach the media element
  | 'go-live' // jump over what will never arrive
  | 'even-pace' // do not change the speed: this engine stands still when it is changed
  | 'catch-up' // the speed may be changed again
  | 'reload' // ask the master for relays again and load afresh
  | 'rebuild'; // throw the player away and make a new one

const FAULT_WINDOW_MS = 10_000;
const FAULTS_BEFORE_RELOAD = 2;
const MEDIA_RECOVERY_EVERY_MS = 5_000;
const RELOAD_EVERY_MS = 4_000;
const REBUILD_EVERY_MS = 15_000;
const JUMP_EVERY_MS = 5_000;
/** The picture counts as standing when it moves by less than this share of real time. */
export const MOVING_SHARE = 0.25;
/** After so long without movement the next stronger cure is tried. */
const LADDER: [number, Cure][] = [
  [3_000, 'start-load'],
  [5_000, 'go-live'],
  [8_000, 'reload'],
  [20_000, 'rebuild'],
];
/** Further behind the target than this, a student who did not rewind is brought back. */
const TOO_FAR_BEHIND_S = 8;
/** After sleep nobody was watching: a jump takes nothing away, and catching up would take minutes. */
const TOO_FAR_AFTER_SLEEP_S = 2;

export class Recovery {
  #faults_ms: number[] = [];
  #last: Partial<Record<Cure, number>> = {};
  #previous: Sample | null = null;
  #movedAt_ms: number | null = null;
  #rung = 0;
  readonly #pace = new Pace();

  /** The speed must not be changed now: a new player has to be told. */
  get evenPace(): boolean {
    return this.#pace.even;
  }

  /** The player gave up with a fatal error. */
  fault(kind: FaultKind, now_ms: number): Cure {
    if (kind === 'media') {
      if (this.#may('recover-media', MEDIA_RECOVERY_EVERY_MS, now_ms)) return 'recover-media';
      return this.#may('rebuild', RELOAD_EVERY_MS, now_ms) ? 'rebuild' : 'none';
    }
    if (kind === 'other') return this.#may('rebuild', RELOAD_EVERY_MS, now_ms) ? 'rebuild' : 'none';
    this.#faults_ms = [...this.#faults_ms.filter((at_ms) => now_ms - at_ms < FAULT_WINDOW_MS), now_ms];
    if (this.#faults_ms.length <= FAULTS_BEFORE_RELOAD) return 'start-load';
    if (!this.#may('reload', RELOAD_EVERY_MS, now_ms)) return 'start-load';
    this.#faults_ms = [];
    return 'reload';
  }

  /** `wanted`: the class is live and the student did not pause; `following`: nor rewind. */
  sampled(sample: Sample, wanted: boolean, following: boolean): Cure {
    const previous = this.#previous;
    this.#previous = sample;
    const now_ms = sample.at_ms;
    this.#pace.saw(sample);
    if (!wanted || previous === null || this.#movedAt_ms === null) {
      this.#restart(now_ms);
      return 'none';
    }
    const elapsed_s = (now_ms - previous.at_ms) / 1000;
    if (elapsed_s > 5) {
      // The tab slept: what happened in between says nothing.
      this.#restart(now_ms);
      return following && tooFar(sample, TOO_FAR_AFTER_SLEEP_S) ? 'go-live' : 'none';
    }
    if (sample.position_s - previous.position_s >= elapsed_s * MOVING_SHARE) {
      this.#restart(now_ms);
      if (following && tooFar(sample)) return this.#may('go-live', JUMP_EVERY_MS, now_ms) ? 'go-live' : 'none';
      return this.#pace.moves(sample, following);
    }
    const cure = this.#pace.stands(sample, this.#movedAt_ms);
    return cure === 'none' ? this.#climb(now_ms) : cure;
  }

  #climb(now_ms: number): Cure {
    const standing_ms = now_ms - (this.#movedAt_ms ?? now_ms);
    const next = LADDER[this.#rung];
    if (next === undefined) return this.#may('rebuild', REBUILD_EVERY_MS, now_ms) ? 'rebuild' : 'none';
    const [after_ms, cure] = next;
    if (standing_ms < after_ms) return 'none';
    this.#rung += 1;
    this.#last[cure] = now_ms;
    return cure;
  }

  #restart(now_ms: number): void {
    this.#movedAt_ms = now_ms;
    this.#rung = 0;
  }

  #may(cure: Cure, every_ms: number, now_ms: number): boolean {
    const last_ms = this.#last[cure];
    if (last_ms !== undefined && now_ms - last_ms < every_ms) return false;
    this.#last[cure] = now_ms;
    return true;
  }
}

function tooFar(sample: Sample, limit_s = TOO_FAR_BEHIND_S): boolean {
  if (sample.latency_s === null) return false;
  // A negative distance is hls.js lost after numbers went backwards: it plays old pictures, then stops.
  return sample.latency_s < -1 || sample.latency_s > (sample.target_s ?? 6) + limit_s;
}
