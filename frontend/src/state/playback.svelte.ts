// Runs the player of a page: starts it when the stream is live, samples it, applies recovery actions, and
// holds the state that the controls show.
import type { Quality } from '../api/types';
import { createPlayer } from '../player/createPlayer';
import { PictureWatch, type PictureProblem } from '../player/pictureWatch';
import { Recovery, type RecoveryAction } from '../player/recovery';
import { PlaybackStats, type Cause } from '../player/playbackStats';
import type { FaultKind, CreatePlayer, Player, Sample } from '../player/types';

export { preloadPlayer } from '../player/createPlayer';

const SAMPLE_MS = 250;
const BEHIND_LIVE_S = 6;
/** A viewer this close to the live position has not rewound, or has caught up again. */
const NEAR_LIVE_S = 1;
const RELOAD_FIRST_MS = 300;
const RELOAD_SPREAD_MS = 3_000;
/** The teacher may choose another codec meanwhile. */
const CODEC_RETRY_MS = 20_000;

export interface PlaybackOptions {
  video: HTMLVideoElement;
  /** Replaced by tests. */
  create?: CreatePlayer;
  contentId: string;
  url: () => string;
  token: () => string;
  /** Get the current relays from the master; false if it does not respond. */
  refresh: () => Promise<boolean>;
}

export class Playback {
  playing = $state(false);
  started = $state(false);
  broken = $state(false);
  /** The autoplay policy requires a tap before the browser plays sound, or before it plays at all. */
  needsTap = $state<'no' | 'sound' | 'play'>('no');
  stalled = $state(false);
  pictureProblem = $state<PictureProblem>('none');
  latency_s = $state<number | null>(null);
  window_s = $state.raw<{ start_s: number; end_s: number } | null>(null);
  position_s = $state(0);
  /** The newest position that can be played without waiting for media. */
  live_s = $state(0);
  quality = $state<Quality>('unknown');
  cause = $state<Cause | null>(null);
  /** The student has not rewound: playback stays at the live edge. */
  following = $state(true);
  readonly stats = new PlaybackStats();
  last: Sample | null = null;

  #player: Player | null = null;
  #recovery = new Recovery();
  #live = false;
  readonly #pictureWatch = new PictureWatch();
  #pausedByHand = false;
  #priority: string[] = [];
  #timer: ReturnType<typeof setInterval> | undefined;
  #reload: ReturnType<typeof setTimeout> | undefined;
  #destroyed = false;
  readonly #sessionId = sessionId();

  get video(): HTMLVideoElement {
    return this.options.video;
  }

  /** Playing at the live edge. */
  get atLiveEdge(): boolean {
    return this.playing && this.following;
  }

  get behind_s(): number {
    return Math.max(0, Math.round(this.latency_s ?? 0));
  }

  constructor(private readonly options: PlaybackOptions) {
    const { video } = options;
    video.addEventListener('playing', this.#onPlaying);
    video.addEventListener('play', this.#onPlay);
    video.addEventListener('pause', this.#onPause);
    this.#timer = setInterval(() => this.#sample(), SAMPLE_MS);
  }

  /** Set whether the stream is live. The first time it is, the player is created. */
  async setLive(live: boolean): Promise<void> {
    const returned = live && !this.#live;
    this.#live = live;
    if (!returned) return;
    if (this.#player === null || this.pictureProblem === 'codec') await this.#createPlayer();
    else if (this.last !== null && this.last.buffer_s < 0.5) this.#player.startLoad();
  }

  prefer(priority: string[]): void {
    this.#priority = priority;
    this.#player?.prefer(priority);
  }

  goLive(): void {
    this.following = true;
    this.#player?.goLive();
    void this.play();
  }

  seek(position_s: number): void {
    this.following = this.live_s - position_s < NEAR_LIVE_S;
    this.position_s = position_s;
    this.options.video.currentTime = position_s;
  }

  toggle(): void {
    if (this.options.video.paused) void this.play();
    else this.options.video.pause();
  }

  /** After a short pause the player catches up automatically; after a long one it stays where it is. */
  #resumed(): void {
    if (this.latency_s !== null && this.latency_s > BEHIND_LIVE_S) this.following = false;
  }

  /** Play with sound. If the autoplay policy forbids that, play muted; if that fails too, ask for a tap. */
  async play(): Promise<void> {
    const { video } = this.options;
    try {
      await video.play();
      return;
    } catch (error) {
      if (!(error instanceof DOMException) || error.name !== 'NotAllowedError') return;
    }
    if (!video.muted) {
      video.muted = true;
      this.needsTap = 'sound';
      await video.play().catch(() => (this.needsTap = 'play'));
    } else {
      this.needsTap = 'play';
    }
  }

  /** The student tapped the button, so the autoplay policy allows sound now. */
  tapped(): void {
    this.needsTap = 'no';
    this.options.video.muted = false;
    void this.play();
  }

  /** The tab is visible again, or the network is back. */
  wake(): void {
    if (this.#live) this.#player?.startLoad();
    if (this.following && this.last !== null && (this.latency_s ?? 0) > BEHIND_LIVE_S * 2)
      this.#player?.goLive();
    // A phone that paused a hidden tab does not always resume it.
    if (this.started && this.options.video.paused && !this.#pausedByHand) void this.play();
  }

  destroy(): void {
    this.#destroyed = true;
    clearInterval(this.#timer);
    clearTimeout(this.#reload);
    const { video } = this.options;
    video.removeEventListener('playing', this.#onPlaying);
    video.removeEventListener('play', this.#onPlay);
    video.removeEventListener('pause', this.#onPause);
    this.#player?.destroy();
    this.#player = null;
  }

  async #createPlayer(): Promise<void> {
    const { video, create = createPlayer, contentId, token, url } = this.options;
    try {
      const player = await create({
        video,
        token,
        contentId,
        sessionId: this.#sessionId,
        fault: (kind) => this.#fault(kind),
      });
      if (this.#destroyed) return player.destroy();
      this.#player?.destroy();
      this.#player = player;
      player.prefer(this.#priority);
      if (this.#recovery.catchUpBlocked) player.setCatchUp(false);
      player.load(url());
    } catch {
      this.broken = true;
      return;
    }
    await this.play();
  }

  readonly #onPlaying = (): void => {
    this.started = true;
    this.playing = true;
    if (this.pictureProblem === 'codec') this.pictureProblem = 'none';
  };

  readonly #onPlay = (): void => {
    this.playing = true;
    if (this.#pausedByHand) this.#resumed();
  };

  readonly #onPause = (): void => {
    this.playing = false;
    // Phones pause hidden tabs: that is not a pause by the student.
    this.#pausedByHand = document.visibilityState === 'visible';
  };

  #sample(): void {
    if (this.#player === null) return;
    const sample = this.#player.sample();
    this.last = sample;
    const wanted = this.#live && this.started && !sample.paused;
    this.stats.add(sample, wanted);
    this.stalled = this.#live && !sample.paused && this.stats.stalledNow;
    // Before the first frame the position is 0, so the latency means nothing.
    this.latency_s = this.started ? sample.latency_s : null;
    this.window_s = sample.window;
    this.position_s = sample.position_s;
    if (sample.window !== null)
      this.live_s = Math.max(sample.position_s, sample.window.end_s - (sample.target_s ?? 0));
    ({ quality: this.quality, cause: this.cause } = this.stats.assess());
    // Do not use the engine's latency: just after a seek it is still that of the old position.
    if (!this.following && sample.window !== null && this.live_s - sample.position_s < NEAR_LIVE_S)
      this.following = true;
    this.#publish(sample);
    const isMissing = this.#live && this.needsTap !== 'play' && (this.stalled || !this.started);
    const late = this.#pictureWatch.isLate(isMissing, SAMPLE_MS);
    if (this.pictureProblem === 'codec') return;
    this.pictureProblem = late ? 'no-picture' : 'none';
    // The recovery also watches the start, before the first frame.
    this.#act(
      this.#recovery.sampled(
        sample,
        this.#live && (wanted || !this.started) && this.needsTap !== 'play',
        this.following && this.started,
      ),
    );
  }

  /** Expose figures as data attributes of the video element, for tests and support. */
  #publish(sample: Sample): void {
    const { dataset } = this.options.video;
    dataset.latencyS = sample.latency_s?.toFixed(2) ?? '';
    dataset.bufferS = sample.buffer_s.toFixed(2);
    dataset.stalls = String(this.stats.stalls);
    dataset.stalledMs = String(Math.round(this.stats.stalled_ms));
    dataset.pathway = sample.pathway ?? '';
    dataset.quality = this.quality;
  }

  #fault(kind: FaultKind): void {
    if (kind === 'codec') {
      this.pictureProblem = 'codec';
      this.#reloadLater('rebuild', CODEC_RETRY_MS);
      return;
    }
    this.#act(this.#recovery.fault(kind, Date.now()));
  }

  #act(action: RecoveryAction): void {
    const player = this.#player;
    if (action === 'none' || player === null) return;
    const { video } = this.options;
    video.dataset.recoveryActions = `${video.dataset.recoveryActions ?? ''} ${action}`
      .trim()
      .split(' ')
      .slice(-20)
      .join(' ');
    // Deferred, because the engine finishes its error handling first.
    if (action === 'start-load') setTimeout(() => this.#player?.startLoad(), 0);
    else if (action === 'recover-media') setTimeout(() => this.#player?.recoverMedia(), 0);
    else if (action === 'go-live') player.goLive();
    else if (action === 'block-catch-up' || action === 'allow-catch-up')
      player.setCatchUp(action === 'allow-catch-up');
    else this.#reloadLater(action);
  }

  /** Reload after a random delay, because after the loss of a relay a whole class reloads. */
  #reloadLater(action: 'reload' | 'rebuild', after_ms = RELOAD_FIRST_MS): void {
    clearTimeout(this.#reload);
    this.#reload = setTimeout(
      async () => {
        await this.options.refresh();
        if (this.#destroyed || !this.#live) return;
        if (action === 'rebuild') return this.#createPlayer();
        this.#player?.load(this.options.url());
        await this.play();
      },
      after_ms + Math.random() * RELOAD_SPREAD_MS,
    );
  }
}

/** A random CMCD session id: it groups the requests of one tab and does not identify a person. */
function sessionId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
