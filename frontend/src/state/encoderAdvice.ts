// What a teacher should change in OBS, in the language of the page. The master applies the same limits and
// offers its advice in English to scripts (`facts.advice`).
import type { StreamInfo } from '../api/types';
import type { TeacherKey } from '../i18n/teacher';
import type { Values } from '../i18n/locale.svelte';

/** A key frame every 4 s measures 3.97 to 4.03 s: advice about it must not come and go. */
const MAX_KEYFRAME_S = 4.5;
const RARE_KEYFRAME_S = 3.5;
const MIN_BITRATE_BPS = 150_000;
const MAX_BITRATE_BPS = 8_000_000;
const MIN_FPS = 10;
/** Limit of the shorter side: a phone may be held upright. */
const MAX_SHORT_SIDE_PX = 1080;

export interface EncoderAdvice {
  key: TeacherKey;
  values?: Values;
}

/** The most important change, or null if nothing needs one. */
export function encoderAdvice(info: StreamInfo): EncoderAdvice | null {
  const { video_codec: video, audio_codec: audio, keyframe_s, bitrate_bps, fps, width, height } = info;
  if (info.taken_over_by) return { key: 'adviceTakenOver', values: { address: info.taken_over_by } };
  if (video === '') return { key: 'adviceNoPicture' };
  if (!/^H\.?264$/.test(video)) return { key: 'adviceVideo', values: { codec: video } };
  if (audio === '') return { key: 'adviceNoSound' };
  if (audio !== 'AAC' && audio !== 'MPEG-4 Audio') return { key: 'adviceAudio', values: { codec: audio } };
  if (keyframe_s !== null && keyframe_s > MAX_KEYFRAME_S)
    return { key: 'adviceKeyframe', values: { n: Math.round(keyframe_s) } };
  if (keyframe_s !== null && keyframe_s > RARE_KEYFRAME_S) return { key: 'adviceBFrames' };
  if (bitrate_bps !== null && bitrate_bps < MIN_BITRATE_BPS)
    return { key: 'adviceBitrateLow', values: { n: Math.round(bitrate_bps / 1000) } };
  if (fps !== null && fps < MIN_FPS) return { key: 'adviceFpsLow', values: { n: Math.round(fps) } };
  if (width !== null && height !== null && Math.min(width, height) > MAX_SHORT_SIDE_PX)
    return { key: 'adviceSizeHigh', values: { width, height } };
  if (bitrate_bps !== null && bitrate_bps > MAX_BITRATE_BPS)
    return { key: 'adviceBitrateHigh', values: { n: (bitrate_bps / 1_000_000).toFixed(1) } };
  return null;
}
