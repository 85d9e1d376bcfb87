import { NativePlayer } from './nativePlayer';
import type { CreatePlayer } from './types';

/** Create a player that this browser supports. hls.js is loaded only here. */
export const createPlayer: CreatePlayer = async (options) => {
  const { HlsPlayer, hlsSupported } = await import('./hlsPlayer');
  if (hlsSupported()) return new HlsPlayer(options);
  if (options.video.canPlayType('application/vnd.apple.mpegurl') !== '') return new NativePlayer(options);
  throw new Error('This browser supports neither Media Source Extensions nor native HLS.');
};

/** Load hls.js early, while the student types a name. */
export const preloadPlayer = (): void => void import('./hlsPlayer');
