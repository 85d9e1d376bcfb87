import { NativePlayer } from './native';
import type { MakePlayer } from './types';

/** Make the player that this browser can run; hls.js is fetched only when it is needed. */
export const makePlayer: MakePlayer = async (options) => {
  const { HlsPlayer, hlsSupported } = await import('./hls');
  if (hlsSupported()) return new HlsPlayer(options);
  if (options.video.canPlayType('application/vnd.apple.mpegurl') !== '') return new NativePlayer(options);
  throw new Error('This browser can play neither HLS by itself nor media sources.');
};

/** Fetch the player ahead, while the student still types a name. */
export const warmUp = (): void => void import('./hls');
