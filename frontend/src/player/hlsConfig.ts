// hls.js settings with which students kept playing through killed, hanging and draining relays (measured
// with 1.7.4). Two changes look safe but stop playback: fewer retries of low-latency playlists (a teacher's
// pause of 2 s becomes a fatal error), and no retry of fragments with status 0 (hls.js then penalises both
// pathways for one failure). This file must not import values: tests/conformance transpiles it alone.
import type { HlsConfig, LoadPolicy } from 'hls.js';

export const CATCH_UP_RATE = 1.1;
const MIN_TARGET_S = 1.5;
const TARGET_PARTS = 3.5;
const MIN_TARGET_PARTS = 2;
const TARGET_SEGMENTS = 3;

const lowLatencyPlaylists: LoadPolicy = {
  default: {
    maxTimeToFirstByteMs: 3000,
    maxLoadTimeMs: 6000,
    timeoutRetry: { maxNumRetry: 2, retryDelayMs: 0, maxRetryDelayMs: 0 },
    errorRetry: { maxNumRetry: 2, retryDelayMs: 500, maxRetryDelayMs: 2000 },
  },
};

/** Without blocking reload only this timeout detects a hanging relay, in time to switch pathways. */
export const plainPlaylists: LoadPolicy = {
  default: {
    maxTimeToFirstByteMs: 1000,
    maxLoadTimeMs: 2000,
    timeoutRetry: { maxNumRetry: 1, retryDelayMs: 0, maxRetryDelayMs: 0 },
    errorRetry: { maxNumRetry: 2, retryDelayMs: 500, maxRetryDelayMs: 2000 },
  },
};

const fragments: LoadPolicy = {
  default: {
    maxTimeToFirstByteMs: 2000,
    maxLoadTimeMs: 4000,
    timeoutRetry: { maxNumRetry: 4, retryDelayMs: 0, maxRetryDelayMs: 0 },
    errorRetry: {
      maxNumRetry: 8,
      retryDelayMs: 150,
      maxRetryDelayMs: 600,
      // Also retry status 0, which hls.js does not: a killed relay refuses connections.
      shouldRetry: (retry, count) => count < (retry?.maxNumRetry ?? 0),
    },
  },
};

export const settings: Partial<HlsConfig> = {
  lowLatencyMode: true,
  maxLiveSyncPlaybackRate: CATCH_UP_RATE,
  backBufferLength: 60,
  playlistLoadPolicy: lowLatencyPlaylists,
  fragLoadPolicy: fragments,
};

/** The target latency in seconds, from the duration of a part. */
export function lowLatencyTarget(partTarget_s: number): number {
  return Math.max(MIN_TARGET_S, TARGET_PARTS * partTarget_s);
}

export interface TargetLatency {
  lowLatency: boolean;
  /** Seconds behind the live edge; null if the playlist lists no media. */
  target_s: number | null;
}

/** The target latency for a media playlist. */
export function targetLatency(playlist: string): TargetLatency {
  const bound_s = Number(/#EXT-X-PART-INF:.*?PART-TARGET=([\d.]+)/.exec(playlist)?.[1] ?? 0);
  if (bound_s > 0) {
    // PART-TARGET is only an upper bound: one long part can raise it far above the usual duration.
    const parts_s = Array.from(playlist.matchAll(/#EXT-X-PART:.*?DURATION=([\d.]+)/g), ([, length]) =>
      Number(length),
    );
    const usual_s = median(parts_s) ?? bound_s;
    // Stay behind the longest listed part, because a part is served only when it is complete.
    return {
      lowLatency: true,
      target_s: Math.max(lowLatencyTarget(usual_s), MIN_TARGET_PARTS * Math.max(0, ...parts_s)),
    };
  }
  // Use the durations, not the target duration: that is rounded up, and relays may raise it further.
  const lengths_s = Array.from(playlist.matchAll(/#EXTINF:([\d.]+)/g), ([, length]) => Number(length));
  if (lengths_s.length === 0) return { lowLatency: false, target_s: null };
  const mean_s = lengths_s.reduce((sum, length_s) => sum + length_s, 0) / lengths_s.length;
  return { lowLatency: false, target_s: TARGET_SEGMENTS * mean_s };
}

function median(values: number[]): number | undefined {
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}
