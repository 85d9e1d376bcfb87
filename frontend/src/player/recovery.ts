// Decides how to recover when playback stops. Some stops raise no error, so this also checks that the
// position moves. Pure: samples and errors with their time in, actions out.
import { CatchUpGuard } from './catchUpGuard';
import type { FaultKind, Sample } from './types';

export type RecoveryAction =
  | 'none'
  | 'start-load' // restart hls.js, which stops loading after a fatal error
  | 'recover-media' // re-attach the media element
  | 'go-live' // seek to the live position, over media that never arrives
  | 'block-catch-up' // keep the playback rate at 1: this engine stalls when it changes
  | 'allow-catch-up' // the playback rate may change again
  | 'reload' // get the relays from the master and load the playlist again
  | 'rebuild'; // replace the player by a new one

const FAULT_WINDOW_MS = 10_000;
const FAULTS_BEFORE_RELOAD = 2;
const MEDIA_RECOVERY_EVERY_MS = 5_000;
const RELOAD_EVERY_MS = 4_000;
const REBUILD_EVERY_MS = 15_000;
const GO_LIVE_EVERY_MS = 5_000;
/** Playback is stalled while the position moves by less than this share of real time. */
export const MOVING_SHARE = 0.25;
/** The action after this time without movement, from the mildest to the strongest. */
const STALL_ACTIONS: [number, RecoveryAction][] = [
  [3_000, 'start-load'],
  [5_000, 'go-live'],
  [8_000, 'reload'],
  [20_000, 'rebuild'],
];
/** A student who has not rewound is moved to the live position when this far behind the target. */
const TOO_FAR_BEHIND_S = 8;
/** The limit after the tab was suspended: nobody was watching, and catching up would take minutes. */
const TOO_FAR_AFTER_SUSPEND_S = 2;

export class Recovery {
  #faults_ms: number[] = [];
  #last: Partial<Record<RecoveryAction, number>> = {};
  #previous: Sample | null = null;
  #movedAt_ms: number | null = null;
  #nextStallAction = 0;
  readonly #catchUpGuard = new CatchUpGuard();

  /** The playback rate must stay at 1, also in a new player. */
  get catchUpBlocked(): boolean {
    return this.#catchUpGuard.blocked;
  }

  /** The player reported a fatal error. */
  fault(kind: FaultKind, now_ms: number): RecoveryAction {
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

  /** `wanted`: the stream is live and not paused; `following`: the student has not rewound. */
  sampled(sample: Sample, wanted: boolean, following: boolean): RecoveryAction {
    const previous = this.#previous;
    this.#previous = sample;
    const now_ms = sample.at_ms;
    this.#catchUpGuard.record(sample);
    if (!wanted || previous === null || this.#movedAt_ms === null) {
      this.#moved(now_ms);
      return 'none';
    }
    const elapsed_s = (now_ms - previous.at_ms) / 1000;
    if (elapsed_s > 5) {
      // The tab was suspended, so the position could not move.
      this.#moved(now_ms);
      return following && tooFar(sample, TOO_FAR_AFTER_SUSPEND_S) ? 'go-live' : 'none';
    }
    if (sample.position_s - previous.position_s >= elapsed_s * MOVING_SHARE) {
      this.#moved(now_ms);
      if (following && tooFar(sample))
        return this.#may('go-live', GO_LIVE_EVERY_MS, now_ms) ? 'go-live' : 'none';
      return this.#catchUpGuard.moving(sample, following);
    }
    const action = this.#catchUpGuard.stalled(sample, this.#movedAt_ms);
    return action === 'none' ? this.#stalled(now_ms) : action;
  }

  #stalled(now_ms: number): RecoveryAction {
    const stalled_ms = now_ms - (this.#movedAt_ms ?? now_ms);
    const next = STALL_ACTIONS[this.#nextStallAction];
    if (next === undefined) return this.#may('rebuild', REBUILD_EVERY_MS, now_ms) ? 'rebuild' : 'none';
    const [after_ms, action] = next;
    if (stalled_ms < after_ms) return 'none';
    this.#nextStallAction += 1;
    this.#last[action] = now_ms;
    return action;
  }

  #moved(now_ms: number): void {
    this.#movedAt_ms = now_ms;
    this.#nextStallAction = 0;
  }

  #may(action: RecoveryAction, every_ms: number, now_ms: number): boolean {
    const last_ms = this.#last[action];
    if (last_ms !== undefined && now_ms - last_ms < every_ms) return false;
    this.#last[action] = now_ms;
    return true;
  }
}

function tooFar(sample: Sample, limit_s = TOO_FAR_BEHIND_S): boolean {
  if (sample.latency_s === null) return false;
  // A negative latency: sequence numbers went backwards, and hls.js plays old media until it runs out.
  return sample.latency_s < -1 || sample.latency_s > (sample.target_s ?? 6) + limit_s;
}
