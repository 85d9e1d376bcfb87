// The hls.js settings that kept students playing through kills, hangs and drains of relays when this
// was measured (1.7.4). Two tempting changes kill the player: fewer retries of low-latency playlists
// (a teacher who pauses 2 s becomes fatal) and no retry of fragments with status 0 (both relays are
// blamed for one failure).
import type { HlsConfig, LoadPolicy } from 'hls.js';

export const CATCH_UP_RATE = 1.1;
const LEAST_TARGET_S = 1.5;
const TARGET_PARTS = 3.5;
const LEAST_TARGET_PARTS = 2;
const TARGET_SEGMENTS = 3;

const lowLatencyPlaylists: LoadPolicy = {
  default: {
    maxTimeToFirstByteMs: 3000,
    maxLoadTimeMs: 6000,
    timeoutRetry: { maxNumRetry: 2, retryDelayMs: 0, maxRetryDelayMs: 0 },
    errorRetry: { maxNumRetry: 2, retryDelayMs: 500, maxRetryDelayMs: 2000 },
  },
};

/** Without blocking reload nothing else notices a hanging relay: 1 s keeps the move inside the buffer. */
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
      // Also status 0, which hls.js would not retry: a relay that was killed refuses connections.
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

/** Seconds behind the newest part to aim at, from the length of a part. */
export function lowLatencyTarget(partTarget_s: number): number {
  return Math.max(LEAST_TARGET_S, TARGET_PARTS * partTarget_s);
}

export interface Aim {
  lowLatency: boolean;
  /** Seconds behind the newest picture; null where the playlist says too little. */
  target_s: number | null;
}

/** Read from a media playlist how near to the edge to play. */
export function aimOf(playlist: string): Aim {
  const bound_s = Number(/#EXT-X-PART-INF:.*?PART-TARGET=([\d.]+)/.exec(playlist)?.[1] ?? 0);
  if (bound_s > 0) {
    // PART-TARGET only bounds: after one hiccup it may be far above what parts usually are.
    const parts_s = Array.from(playlist.matchAll(/#EXT-X-PART:.*?DURATION=([\d.]+)/g), ([, length]) => Number(length));
    const usual_s = median(parts_s) ?? bound_s;
    // Never nearer than the longest part that is listed: it comes only when it is whole.
    return { lowLatency: true, target_s: Math.max(lowLatencyTarget(usual_s), LEAST_TARGET_PARTS * Math.max(0, ...parts_s)) };
  }
  // Real lengths, not the target duration: that is rounded up, and pinned higher still by relays.
  const lengths_s = Array.from(playlist.matchAll(/#EXTINF:([\d.]+)/g), ([, length]) => Number(length));
  if (lengths_s.length === 0) return { lowLatency: false, target_s: null };
  const mean_s = lengths_s.reduce((sum, length_s) => sum + length_s, 0) / lengths_s.length;
  return { lowLatency: false, target_s: TARGET_SEGMENTS * mean_s };
}

function isPart(line: string): boolean {
  return line.startsWith('#EXT-X-PART:');
}

function median(values: number[]): number | undefined {
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}

/**
 * A media playlist without the parts of its complete segments, unless it would then list no part at all.
 *
 * hls.js 1.7 that is moved to another relay just between two segments takes the one that it has for the next, as its
 * parts are unknown there, and loads nothing until they are no longer listed: some 3.5 s, twice what is in the buffer.
 * Without any part it would wait for the next segment as a whole; with all of them for that segment's first part.
 */
export function withoutOldParts(playlist: string): string {
  const lines = playlist.split('\n');
  const lastSegment = lines.reduce((last, line, at) => (line !== '' && !line.startsWith('#') ? at : last), -1);
  if (!lines.slice(lastSegment + 1).some(isPart)) return playlist;
  return lines.filter((line, at) => at > lastSegment || !isPart(line)).join('\n');
}

/** Put the present token in the place of the one that a relay's or the master's address carries. */
export function withToken(url: string, token: string): string {
  const inPath = url.replace(/\/t\/[^/?#]+\//, () => `/t/${token}/`);
  if (inPath !== url) return inPath;
  return url.replace(/([?&]token=)[^&#]*/, (_, name: string) => name + encodeURIComponent(token));
}
