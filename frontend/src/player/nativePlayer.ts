// iPhones before iOS 17.1 have no Media Source Extensions. There the video element plays the URL itself. It
// selects relays by content steering and reports few figures.
import { withToken } from './tokenUrl';
import type { Player, PlayerOptions, Sample } from './types';

export class NativePlayer implements Player {
  #url = '';
  readonly #onError: () => void;

  constructor(private readonly options: PlayerOptions) {
    this.#onError = () =>
      options.fault(options.video.error?.code === 2 ? 'network' : 'media', 'native player error');
    options.video.addEventListener('error', this.#onError);
  }

  load(url: string): void {
    this.#url = url;
    this.startLoad();
  }

  startLoad(): void {
    const { video, token } = this.options;
    video.src = withToken(this.#url, token());
    video.load();
  }

  recoverMedia(): void {
    this.startLoad();
  }

  goLive(): void {
    const { video } = this.options;
    const last = video.seekable.length - 1;
    if (last >= 0) video.currentTime = video.seekable.end(last);
  }

  prefer(): void {
    // The native player follows content steering.
  }

  setCatchUp(): void {
    // The native player never changes its playback rate.
  }

  sample(): Sample {
    const { video } = this.options;
    const last = video.seekable.length - 1;
    const window = last < 0 ? null : { start_s: video.seekable.start(0), end_s: video.seekable.end(last) };
    const end = video.buffered.length - 1;
    return {
      at_ms: Date.now(),
      position_s: video.currentTime,
      paused: video.paused,
      seeking: video.seeking,
      rate: video.playbackRate,
      buffer_s: end < 0 ? 0 : Math.max(0, video.buffered.end(end) - video.currentTime),
      latency_s: window === null ? null : Math.max(0, window.end_s - video.currentTime),
      target_s: null,
      window,
      live_edge_age_s: null,
      response_age_s: null,
      throughput_bps: null,
      bitrate_bps: null,
      pathway: null,
      low_latency: false,
    };
  }

  destroy(): void {
    const { video } = this.options;
    video.removeEventListener('error', this.#onError);
    video.removeAttribute('src');
    video.load();
  }
}
