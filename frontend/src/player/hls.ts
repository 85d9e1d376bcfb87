// The only file that knows hls.js. The full UMD build: the light one has neither separate audio nor
// CMCD, and the UMD carries its worker inside, so nothing else has to be fetched.
import HlsClass from 'hls.js/dist/hls.min.js';
import type Hls from 'hls.js';
import type { CMCDControllerConfig, CmcdCustomReporter, HlsConfig, Loader, LoaderContext, PlaylistLoaderContext } from 'hls.js';
import { atRelay, folderOf } from './relays';
import { aimOf, CATCH_UP_RATE, plainPlaylists, settings, withoutOldParts, withToken } from './settings';
import type { FaultKind, Player, PlayerOptions, Sample } from './types';

const CMCD_KEYS = ['bl', 'br', 'bs', 'cid', 'd', 'dl', 'mtp', 'ot', 'pr', 'sf', 'sid', 'st', 'su'];
/** hls.js never reports latency itself; a key of our own, as CTA-5004 allows. */
const LATENCY_KEY = 'edu.lat-ms';
const LATENCY_REPORT_MS = 2000;

export function hlsSupported(): boolean {
  return HlsClass.isSupported();
}

export class HlsPlayer implements Player {
  readonly #hls: Hls;
  readonly #video: HTMLVideoElement;
  #answeredAt_ms: number | null = null;
  #tuned = false;
  #priority: string[] = [];
  /** Each relay's folder, as the multivariant playlist names it. */
  #folders: string[] = [];
  /** Whether pictures were loaded already; and whether none was since the last move to another relay. */
  #began = false;
  #moved = false;
  #reports: ReturnType<typeof setInterval> | undefined;

  constructor(private readonly options: PlayerOptions) {
    this.#video = options.video;
    this.#hls = new HlsClass(this.#config());
    const { Events } = HlsClass;
    this.#hls.on(Events.MANIFEST_LOADED, (_, { levels }) => (this.#folders = [...new Set(levels.map(({ url }) => folderOf(url)))]));
    this.#hls.on(Events.MANIFEST_PARSED, () => this.prefer(this.#priority));
    this.#hls.on(Events.LEVEL_SWITCHING, () => (this.#moved = this.#began));
    this.#hls.on(Events.FRAG_LOADING, (_, { frag }) => {
      if (frag.type !== 'main') return;
      this.#began = true;
      this.#moved = false;
    });
    this.#hls.on(Events.LEVEL_LOADED, () => (this.#answeredAt_ms = Date.now()));
    this.#hls.on(Events.ERROR, (_, data) => {
      if (data.fatal) options.fault(kindOf(data.type), data.details);
    });
    this.#hls.attachMedia(this.#video);
  }

  load(url: string): void {
    this.#tuned = this.#began = this.#moved = false;
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
    // An empty list or only unknown relays would make hls.js forget what it may fall back to.
    const known = new Set(this.#hls.pathways);
    if (priority.some((id) => known.has(id))) this.#hls.pathwayPriority = priority;
  }

  catchUp(allowed: boolean): void {
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
      edge_age_s: details === null ? null : details.age,
      answer_age_s: this.#answeredAt_ms === null ? null : (now_ms - this.#answeredAt_ms) / 1000,
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

  /** The first media playlist tells which kind of stream it is; only then can the settings fit. */
  #tune(playlist: string): void {
    if (this.#tuned || !playlist.includes('#EXTINF')) return;
    this.#tuned = true;
    const { lowLatency, target_s } = aimOf(playlist);
    if (!lowLatency) this.#hls.config.playlistLoadPolicy = plainPlaylists;
    if (target_s !== null) this.#hls.targetLatency = target_s;
  }

  /** A playlist loader that reads before hls.js does: to decide where to start, and how to go on after a move. */
  #reader(): NonNullable<HlsConfig['pLoader']> {
    const read = (text: string, type: string): string => {
      this.#tune(text);
      return this.#moved && type === 'level' ? withoutOldParts(text) : text;
    };
    return class extends (HlsClass.DefaultConfig.loader as unknown as NonNullable<HlsConfig['pLoader']>) {
      override load(...[context, config, callbacks]: Parameters<Loader<PlaylistLoaderContext>['load']>): void {
        const onSuccess: typeof callbacks.onSuccess = (response, ...rest) => {
          if (typeof response.data === 'string') response.data = read(response.data, context.type);
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
      pLoader: this.#reader(),
      xhrSetup: (xhr, url, context) => xhr.open('GET', this.#address(url, context), true),
      cmcd: {
        sessionId,
        contentId,
        useHeaders: false, // headers would cost one preflight request a part
        includeKeys: [...CMCD_KEYS, LATENCY_KEY] as NonNullable<CMCDControllerConfig['includeKeys']>,
        reporterCallback: (reporter) => this.#reportLatency(reporter),
      },
    };
  }

  /**
   * hls.js repeats a failed object where it failed, for four seconds, also when it has long moved its playlists away
   * from a dead relay: twice what is in the buffer. So a repetition goes to the relay that is played from by then.
   */
  #address(url: string, context: LoaderContext): string {
    const token = this.options.token();
    const fresh = withToken(url, token);
    const here = this.#hls.levels[Math.max(0, this.#hls.loadLevel)]?.uri;
    if (!('frag' in context) || here === undefined) return fresh;
    const folders = this.#folders.map((folder) => withToken(folder, token));
    return atRelay(fresh, folders, withToken(folderOf(here), token));
  }

  #reportLatency(reporter: CmcdCustomReporter): void {
    clearInterval(this.#reports);
    this.#reports = setInterval(() => {
      if (this.#hls.latestLevelDetails === null) return;
      reporter.updateCustomData({ [LATENCY_KEY]: String(Math.round(this.#hls.latency * 1000)) });
    }, LATENCY_REPORT_MS);
  }
}

function kindOf(type: string): FaultKind {
  if (type === HlsClass.ErrorTypes.NETWORK_ERROR) return 'network';
  return type === HlsClass.ErrorTypes.MEDIA_ERROR ? 'media' : 'other';
}

/** Seconds loaded without a hole from the position on. */
export function bufferAhead_s(video: HTMLVideoElement): number {
  const { buffered, currentTime } = video;
  for (let i = 0; i < buffered.length; i += 1) {
    if (buffered.start(i) <= currentTime + 0.2 && currentTime <= buffered.end(i)) return buffered.end(i) - currentTime;
  }
  return 0;
}
