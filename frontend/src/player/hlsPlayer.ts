// The only file that imports hls.js. It uses the full UMD build: the light build lacks separate audio and
// CMCD, and the UMD build contains its worker, so there is no further request.
import HlsClass from 'hls.js/dist/hls.min.js';
import type Hls from 'hls.js';
import type {
  CMCDControllerConfig,
  CmcdCustomReporter,
  HlsConfig,
  Loader,
  LoaderContext,
  PlaylistLoaderContext,
} from 'hls.js';
import { baseUrl, failoverUrl } from './failoverUrl';
import { CATCH_UP_RATE, plainPlaylists, settings, targetLatency } from './hlsConfig';
import { dropPartsOfCompleteSegments } from './playlistFilter';
import { withToken } from './tokenUrl';
import type { FaultKind, Player, PlayerOptions, Sample } from './types';

const CMCD_KEYS = ['bl', 'br', 'bs', 'cid', 'd', 'dl', 'mtp', 'ot', 'pr', 'sf', 'sid', 'st', 'su'];
/** hls.js does not report latency, so we use a custom key, as CTA-5004 allows. */
const LATENCY_KEY = 'edu.lat-ms';
const LATENCY_REPORT_MS = 2000;

export function hlsSupported(): boolean {
  return HlsClass.isSupported();
}

export class HlsPlayer implements Player {
  readonly #hls: Hls;
  readonly #video: HTMLVideoElement;
  #playlistAt_ms: number | null = null;
  #targetSet = false;
  #priority: string[] = [];
  /** Base URLs of the relays in the multivariant playlist. */
  #relays: string[] = [];
  /** Video was requested at least once. */
  #loading = false;
  /** hls.js switched pathways and has not requested video since. */
  #switched = false;
  #reports: ReturnType<typeof setInterval> | undefined;

  constructor(private readonly options: PlayerOptions) {
    this.#video = options.video;
    this.#hls = new HlsClass(this.#config());
    const { Events } = HlsClass;
    this.#hls.on(
      Events.MANIFEST_LOADED,
      (_, { levels }) => (this.#relays = [...new Set(levels.map(({ url }) => baseUrl(url)))]),
    );
    this.#hls.on(Events.MANIFEST_PARSED, () => this.prefer(this.#priority));
    this.#hls.on(Events.LEVEL_SWITCHING, () => (this.#switched = this.#loading));
    this.#hls.on(Events.FRAG_LOADING, (_, { frag }) => {
      if (frag.type !== 'main') return;
      this.#loading = true;
      this.#switched = false;
    });
    this.#hls.on(Events.LEVEL_LOADED, () => (this.#playlistAt_ms = Date.now()));
    this.#hls.on(Events.ERROR, (_, data) => {
      if (data.fatal) options.fault(kindOf(data.type, data.details), data.details);
    });
    this.#hls.attachMedia(this.#video);
  }

  load(url: string): void {
    this.#targetSet = this.#loading = this.#switched = false;
    this.#hls.loadSource(url);
  }

  startLoad(): void {
    this.#hls.startLoad();
  }

  recoverMedia(): void {
    this.#hls.recoverMediaError();
  }

  goLive(): void {
    const live_s = this.#hls.liveSyncPosition;
    if (live_s !== null && Math.abs(live_s - this.#video.currentTime) > 0.5) this.#video.currentTime = live_s;
  }

  prefer(priority: string[]): void {
    this.#priority = priority;
    // With an empty list or only unknown ids, hls.js would lose its fallback pathways.
    const known = new Set(this.#hls.pathways);
    if (priority.some((id) => known.has(id))) this.#hls.pathwayPriority = priority;
  }

  setCatchUp(allowed: boolean): void {
    this.#hls.config.maxLiveSyncPlaybackRate = allowed ? CATCH_UP_RATE : 1;
    if (!allowed) this.#video.playbackRate = 1;
  }

  sample(): Sample {
    const video = this.#video;
    const details = this.#hls.latestLevelDetails;
    const level = this.#hls.levels[Math.max(0, this.#hls.currentLevel)];
    const now_ms = Date.now();
    return {
      at_ms: now_ms,
      position_s: video.currentTime,
      paused: video.paused,
      seeking: video.seeking,
      rate: video.playbackRate,
      buffer_s: bufferAhead_s(video),
      latency_s: details === null ? null : this.#hls.latency,
      target_s: this.#hls.targetLatency,
      window: details === null ? null : { start_s: details.fragmentStart, end_s: details.edge },
      live_edge_age_s: details === null ? null : details.age,
      response_age_s: this.#playlistAt_ms === null ? null : (now_ms - this.#playlistAt_ms) / 1000,
      throughput_bps: Number.isFinite(this.#hls.bandwidthEstimate) ? this.#hls.bandwidthEstimate : null,
      bitrate_bps: level?.bitrate ?? null,
      pathway: level?.pathwayId ?? null,
      low_latency: (details?.partTarget ?? 0) > 0,
    };
  }

  destroy(): void {
    clearInterval(this.#reports);
    this.#hls.destroy();
  }

  /** Set the target latency from the first media playlist, which shows whether the stream is low-latency. */
  #setTarget(playlist: string): void {
    if (this.#targetSet || !playlist.includes('#EXTINF')) return;
    this.#targetSet = true;
    const { lowLatency, target_s } = targetLatency(playlist);
    if (!lowLatency) this.#hls.config.playlistLoadPolicy = plainPlaylists;
    if (target_s !== null) this.#hls.targetLatency = target_s;
  }

  /** A playlist loader that reads and changes playlists before hls.js parses them. */
  #playlistLoader(): NonNullable<HlsConfig['pLoader']> {
    const filter = (text: string, type: string): string => {
      this.#setTarget(text);
      return this.#switched && type === 'level' ? dropPartsOfCompleteSegments(text) : text;
    };
    return class extends (HlsClass.DefaultConfig.loader as unknown as NonNullable<HlsConfig['pLoader']>) {
      override load(
        ...[context, config, callbacks]: Parameters<Loader<PlaylistLoaderContext>['load']>
      ): void {
        const onSuccess: typeof callbacks.onSuccess = (response, ...rest) => {
          if (typeof response.data === 'string') response.data = filter(response.data, context.type);
          callbacks.onSuccess(response, ...rest);
        };
        super.load(context, config, { ...callbacks, onSuccess });
      }
    };
  }

  #config(): Partial<HlsConfig> {
    const { sessionId, contentId } = this.options;
    return {
      ...settings,
      pLoader: this.#playlistLoader(),
      xhrSetup: (xhr, url, context) => xhr.open('GET', this.#requestUrl(url, context), true),
      cmcd: {
        sessionId,
        contentId,
        useHeaders: false, // headers would cost a preflight request per part
        includeKeys: [...CMCD_KEYS, LATENCY_KEY] as NonNullable<CMCDControllerConfig['includeKeys']>,
        reporterCallback: (reporter) => this.#reportLatency(reporter),
      },
    };
  }

  /**
   * hls.js retries a failed fragment at the same URL for four seconds, also after its playlists have switched
   * to another relay. That is twice what is buffered, so send retries to the relay of the current playlist.
   */
  #requestUrl(url: string, context: LoaderContext): string {
    const token = this.options.token();
    const fresh = withToken(url, token);
    const playlistUrl = this.#hls.levels[Math.max(0, this.#hls.loadLevel)]?.uri;
    if (!('frag' in context) || playlistUrl === undefined) return fresh;
    const relays = this.#relays.map((relay) => withToken(relay, token));
    return failoverUrl(fresh, relays, withToken(baseUrl(playlistUrl), token));
  }

  #reportLatency(reporter: CmcdCustomReporter): void {
    clearInterval(this.#reports);
    this.#reports = setInterval(() => {
      if (this.#hls.latestLevelDetails === null) return;
      reporter.updateCustomData({ [LATENCY_KEY]: String(Math.round(this.#hls.latency * 1000)) });
    }, LATENCY_REPORT_MS);
  }
}

/** hls.js reports these when the browser supports none of the codecs that the playlist or the media names. */
const CODEC_ERRORS: readonly string[] = [
  HlsClass.ErrorDetails.MANIFEST_INCOMPATIBLE_CODECS_ERROR,
  HlsClass.ErrorDetails.BUFFER_INCOMPATIBLE_CODECS_ERROR,
  HlsClass.ErrorDetails.BUFFER_ADD_CODEC_ERROR,
];

function kindOf(type: string, details: string): FaultKind {
  if (CODEC_ERRORS.includes(details)) return 'codec';
  if (type === HlsClass.ErrorTypes.NETWORK_ERROR) return 'network';
  return type === HlsClass.ErrorTypes.MEDIA_ERROR ? 'media' : 'other';
}

/** Seconds of contiguous media buffered ahead of the position. */
export function bufferAhead_s(video: HTMLVideoElement): number {
  const { buffered, currentTime } = video;
  for (let i = 0; i < buffered.length; i += 1) {
    if (buffered.start(i) <= currentTime + 0.2 && currentTime <= buffered.end(i))
      return buffered.end(i) - currentTime;
  }
  return 0;
}
