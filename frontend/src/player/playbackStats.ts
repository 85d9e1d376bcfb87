// Turns player samples into stalls, a connection quality and the cause of a bad one. Pure.
import type { Quality } from '../api/types';
import { MOVING_SHARE } from './recovery';
import type { Sample } from './types';

const WINDOW_MS = 30_000;
const FAIR_STALLED_MS = 300;
const POOR_STALLED_MS = 2_000;
/** A connection is too slow below this multiple of the bitrate. */
const HEADROOM = 1.3;

/** Which connection is slow: that of the student, or that between teacher and school. */
export type Cause = 'own' | 'teacher';

export interface PlaybackQuality {
  quality: Quality;
  cause: Cause | null;
}

interface Interval {
  at_ms: number;
  stalled_ms: number;
  buffer_s: number;
  teacherLate: boolean;
}

export class PlaybackStats {
  /** Number and total length of the stalls since the start. */
  stalls = 0;
  stalled_ms = 0;
  #intervals: Interval[] = [];
  #previous: Sample | null = null;
  /** Playback is stalled now. */
  stalledNow = false;
  #started = false;

  /** `wanted`: the stream is live and not paused. */
  add(sample: Sample, wanted: boolean): void {
    const previous = this.#previous;
    this.#previous = sample;
    const elapsed_ms = previous === null ? 0 : sample.at_ms - previous.at_ms;
    const moved_ms = previous === null ? 0 : (sample.position_s - previous.position_s) * 1000;
    const comparable = wanted && previous !== null && elapsed_ms > 0 && elapsed_ms < 5000 && !sample.seeking;
    const stalled = comparable && this.#started && moved_ms < elapsed_ms * MOVING_SHARE;
    if (comparable && moved_ms > 0) this.#started = true;
    if (stalled) {
      this.stalled_ms += elapsed_ms;
      if (!this.stalledNow) this.stalls += 1;
    }
    this.stalledNow = stalled;
    if (!wanted) return;
    const interval = {
      at_ms: sample.at_ms,
      stalled_ms: stalled ? elapsed_ms : 0,
      buffer_s: sample.buffer_s,
      teacherLate: teacherLate(sample),
    };
    this.#intervals = [...this.#intervals.filter((old) => sample.at_ms - old.at_ms < WINDOW_MS), interval];
  }

  /** The quality of the last half minute, and the cause if it is not good. */
  assess(): PlaybackQuality {
    const sample = this.#previous;
    if (sample === null || !this.#started || this.#intervals.length < 4)
      return { quality: 'unknown', cause: null };
    const stalled_ms = this.#intervals.reduce((sum, interval) => sum + interval.stalled_ms, 0);
    const narrow =
      sample.throughput_bps !== null &&
      sample.bitrate_bps !== null &&
      sample.throughput_bps < sample.bitrate_bps * HEADROOM;
    const late = this.#intervals.some((interval) => interval.teacherLate);
    const cause: Cause = late ? 'teacher' : 'own';
    if (stalled_ms >= POOR_STALLED_MS) return { quality: 'poor', cause };
    if (stalled_ms >= FAIR_STALLED_MS) return { quality: 'fair', cause };
    if (late) return { quality: 'fair', cause };
    return narrow ? { quality: 'fair', cause: 'own' } : { quality: 'good', cause: null };
  }
}

/** Playlists arrive but list nothing new: the teacher's media does not reach the school. */
function teacherLate(sample: Sample): boolean {
  if (sample.live_edge_age_s === null || sample.response_age_s === null) return false;
  const limit_s = sample.low_latency ? 2.5 : 8;
  return sample.live_edge_age_s > limit_s && sample.response_age_s < limit_s;
}
