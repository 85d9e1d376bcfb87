// What a teacher should change in OBS, in the page's language. The master gives the same advice in
// English for scripts (`facts.advice`); the limits are the same.
import type { Facts } from '../api/types';
import type { TeacherKey } from '../i18n/teacher';
import type { Values } from '../i18n/locale.svelte';

const MOST_KEYFRAME_S = 4;
const LEAST_BITRATE_BPS = 150_000;
const MOST_BITRATE_BPS = 8_000_000;
const LEAST_FPS = 10;
/** Of the shorter side: a phone may be held upright. */
const MOST_LINES = 1080;

export interface Advice {
  key: TeacherKey;
  values?: Values;
}

/** The most important thing to change; null when everything looks right. */
export function adviseTeacher(facts: Facts): Advice | null {
  const { video_codec: video, audio_codec: audio, keyframe_s, bitrate_bps, fps, width, height } = facts;
  if (facts.taken_over_by) return { key: 'adviceTakenOver', values: { address: facts.taken_over_by } };
  if (video === '') return { key: 'adviceNoPicture' };
  if (!/^H\.?264$/.test(video)) return { key: 'adviceVideo', values: { codec: video } };
  if (audio === '') return { key: 'adviceNoSound' };
  if (audio !== 'AAC' && audio !== 'MPEG-4 Audio') return { key: 'adviceAudio', values: { codec: audio } };
  if (keyframe_s !== null && keyframe_s > MOST_KEYFRAME_S) return { key: 'adviceKeyframe', values: { n: Math.round(keyframe_s) } };
  if (bitrate_bps !== null && bitrate_bps < LEAST_BITRATE_BPS) return { key: 'adviceThin', values: { n: Math.round(bitrate_bps / 1000) } };
  if (fps !== null && fps < LEAST_FPS) return { key: 'adviceSlow', values: { n: Math.round(fps) } };
  if (width !== null && height !== null && Math.min(width, height) > MOST_LINES) return { key: 'adviceBig', values: { width, height } };
  if (bitrate_bps !== null && bitrate_bps > MOST_BITRATE_BPS) return { key: 'adviceFat', values: { n: (bitrate_bps / 1_000_000).toFixed(1) } };
  return null;
}
