import { describe, expect, it } from 'vitest';
import type { StreamInfo } from '../../../src/api/types';
import { encoderAdvice } from '../../../src/state/encoderAdvice';

describe('encoder advice', () => {
  const good: StreamInfo = {
    bitrate_bps: 2_500_000,
    width: 1280,
    height: 720,
    fps: 30,
    keyframe_s: 2,
    video_codec: 'H264',
    audio_codec: 'AAC',
    taken_over_by: '',
    advice: [],
  };
  it.each([
    [{}, undefined],
    [{ keyframe_s: 8 }, 'adviceKeyframe'],
    [{ keyframe_s: 3.96674 }, 'adviceBFrames'],
    [{ keyframe_s: 4.00004 }, 'adviceBFrames'],
    [{ keyframe_s: 3.4 }, undefined],
    [{ audio_codec: '' }, 'adviceNoSound'],
    [{ audio_codec: 'Opus' }, 'adviceAudio'],
    [{ video_codec: '' }, 'adviceNoPicture'],
    [{ video_codec: 'H265' }, 'adviceVideo'],
    [{ bitrate_bps: 90_000 }, 'adviceBitrateLow'],
    [{ bitrate_bps: 12_000_000 }, 'adviceBitrateHigh'],
    [{ bitrate_bps: null, keyframe_s: null, fps: null, width: null, height: null }, undefined],
    [{ taken_over_by: '10.0.0.66', audio_codec: '' }, 'adviceTakenOver'],
    [{ fps: 5 }, 'adviceFpsLow'],
    [{ fps: 10 }, undefined],
    [{ width: 3840, height: 2160 }, 'adviceSizeHigh'],
    [{ width: 1080, height: 1920 }, undefined],
  ])('%j', (change, key) => expect(encoderAdvice({ ...good, ...change })?.key).toBe(key));
});
