import type { Quality } from '../api/types';
import type { PlaybackStats } from '../player/playbackStats';
import type { Sample } from '../player/types';

/** Expose figures as data attributes of the video element, for tests and support. */
export function exposeFigures(
  { dataset }: HTMLVideoElement,
  sample: Sample,
  stats: PlaybackStats,
  quality: Quality,
): void {
  dataset.latencyS = sample.latency_s?.toFixed(2) ?? '';
  dataset.bufferS = sample.buffer_s.toFixed(2);
  dataset.stalls = String(stats.stalls);
  dataset.stalledMs = String(Math.round(stats.stalled_ms));
  dataset.pathway = sample.pathway ?? '';
  dataset.quality = quality;
}
