// From samples of the player to what a person wants to know: did it stall, how good is my connection,
// and whose fault is it. Pure.
import type { Quality } from '../api/types';
import { MOVING_SHARE } from './recovery';
import type { Sample } from './types';

const REMEMBER_MS = 30_000;
const FAIR_STALLED_MS = 300;
const POOR_STALLED_MS = 2_000;
/** A connection slower than this many times the stream has no room left. */
const HEADROOM = 1.3;

/** Whose line is slow: the student's own, or the one between teacher and school. */
export type Cause = 'own' | 'teacher';

export interface Verdict {
  quality: Quality;
  cause: Cause | null;
}

interface Step {
  at_ms: number;
  stalled_ms: number;
  buffer_s: number;
  teacherLate: boolean;
}

export class PlaybackStats {
  /** How often and how long the picture stood while it should have moved, since the start. */
  stalls = 0;
  stalled_ms = 0;
  #steps: Step[] = [];
  #previous: Sample | null = null;
  /** The picture stands still right now. */
  standing = false;
  #started = false;

  /** `wanted`: the class is live and the student did not pause. */
  add(sample: Sample, wanted: boolean): void {
    const previous = this.#previous;
    this.#previous = sample;
    const elapsed_ms = previous === null ? 0 : sample.at_ms - previous.at_ms;
    const moved_ms = previous === null ? 0 : (sample.position_s - previous.position_s) * 1000;
    const comparable = wanted && previous !== null && elapsed_ms > 0 && elapsed_ms < 5000 && !sample.seeking;
    const standing = comparable && this.#started && moved_ms < elapsed_ms * MOVING_SHARE;
    if (comparable && moved_ms > 0) this.#started = true;
    if (standing) {
      this.stalled_ms += elapsed_ms;
      if (!this.standing) this.stalls += 1;
    }
    this.standing = standing;
    if (!wanted) return;
    const step = { at_ms: sample.at_ms, stalled_ms: standing ? elapsed_ms : 0, buffer_s: sample.buffer_s, teacherLate: teacherLate(sample) };
    this.#steps = [...this.#steps.filter((old) => sample.at_ms - old.at_ms < REMEMBER_MS), step];
  }

  /** The last half minute in one word, and who is to blame if it is not good. */
  verdict(): Verdict {
    const sample = this.#previous;
    if (sample === null || !this.#started || this.#steps.length < 4) return { quality: 'unknown', cause: null };
    const stalled_ms = this.#steps.reduce((sum, step) => sum + step.stalled_ms, 0);
    const narrow =
      sample.throughput_bps !== null && sample.bitrate_bps !== null && sample.throughput_bps < sample.bitrate_bps * HEADROOM;
    const late = this.#steps.some((step) => step.teacherLate);
    const cause: Cause = late ? 'teacher' : 'own';
    if (stalled_ms >= POOR_STALLED_MS) return { quality: 'poor', cause };
    if (stalled_ms >= FAIR_STALLED_MS) return { quality: 'fair', cause };
    if (late) return { quality: 'fair', cause };
    return narrow ? { quality: 'fair', cause: 'own' } : { quality: 'good', cause: null };
  }
}

/** Playlists keep coming but nothing new is in them: the pictures do not reach the school. */
function teacherLate(sample: Sample): boolean {
  if (sample.edge_age_s === null || sample.answer_age_s === null) return false;
  const patience_s = sample.low_latency ? 2.5 : 8;
  return sample.edge_age_s > patience_s && sample.answer_age_s < patience_s;
}
