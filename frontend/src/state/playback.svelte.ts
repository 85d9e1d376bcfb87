// The player on the page: starts it when there is something to play, samples it, cures it, and keeps
// the words and numbers that the controls show.
import type { Quality } from '../api/types';
import { makePlayer } from '../player';
import { Recovery, type Cure } from '../player/recovery';
import { PlaybackStats, type Cause } from '../player/stats';
import type { FaultKind, MakePlayer, Player, Sample } from '../player/types';

export { warmUp } from '../player';

const SAMPLE_MS = 250;
const BEHIND_LIVE_S = 6;
/** Whoever is nearer to the newest playable picture has not rewound, or has caught up again. */
const NEAR_LIVE_S = 1;
const RELOAD_FIRST_MS = 300;
const RELOAD_SPREAD_MS = 3_000;

export interface PlaybackOptions {
  video: HTMLVideoElement;
  /** Only tests play with something else. */
  make?: MakePlayer;
  contentId: string;
  url: () => string;
  token: () => string;
  /** Ask the master for relays again; false when it did not answer. */
  refresh: () => Promise<boolean>;
}

export class Playback {
  playing = $state(false);
  started = $state(false);
  broken = $state(false);
  /** The browser insists on silence until it is touched; or does not even play then. */
  needsTap = $state<'no' | 'sound' | 'play'>('no');
  stalled = $state(false);
  latency_s = $state<number | null>(null);
  window_s = $state.raw<{ start_s: number; end_s: number } | null>(null);
  position_s = $state(0);
  /** The newest position that playing can go on from: beyond it nothing is loaded yet. */
  live_s = $state(0);
  quality = $state<Quality>('unknown');
  cause = $state<Cause | null>(null);
  /** The student did not rewind: new pictures are followed as they come. */
  following = $state(true);
  readonly stats = new PlaybackStats();
  last: Sample | null = null;

  #player: Player | null = null;
  #recovery = new Recovery();
  #live = false;
  #pausedByHand = false;
  #priority: string[] = [];
  #timer: ReturnType<typeof setInterval> | undefined;
  #reload: ReturnType<typeof setTimeout> | undefined;
  #destroyed = false;
  readonly #sessionId = sessionId();

  get video(): HTMLVideoElement {
    return this.options.video;
  }

  /** The newest pictures are on the screen. */
  get atEdge(): boolean {
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
    this.#timer = setInterval(() => this.#look(), SAMPLE_MS);
  }

  /** Tell whether pictures can be expected now; the first time starts the player. */
  async setLive(live: boolean): Promise<void> {
    const returned = live && !this.#live;
    this.#live = live;
    if (!returned) return;
    if (this.#player === null) await this.#build();
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

  /** After a short pause the player catches up by itself; after a long one the student decides. */
  #resumed(): void {
    if (this.latency_s !== null && this.latency_s > BEHIND_LIVE_S) this.following = false;
  }

  /** Play with sound; where the browser forbids that, silently; where even that, ask for a tap. */
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

  /** The student touched the big button: now everything is allowed. */
  tapped(): void {
    this.needsTap = 'no';
    this.options.video.muted = false;
    void this.play();
  }

  /** The network or the tab came back. */
  wake(): void {
    if (this.#live) this.#player?.startLoad();
    if (this.following && this.last !== null && (this.latency_s ?? 0) > BEHIND_LIVE_S * 2) this.#player?.goLive();
    // A phone that paused the hidden tab does not always let it go on.
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

  async #build(): Promise<void> {
    const { video, make = makePlayer, contentId, token, url } = this.options;
    try {
      const player = await make({ video, token, contentId, sessionId: this.#sessionId, fault: (kind) => this.#fault(kind) });
      if (this.#destroyed) return player.destroy();
      this.#player?.destroy();
      this.#player = player;
      player.prefer(this.#priority);
      if (this.#recovery.evenPace) player.catchUp(false);
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
  };

  readonly #onPlay = (): void => {
    this.playing = true;
    if (this.#pausedByHand) this.#resumed();
  };

  readonly #onPause = (): void => {
    this.playing = false;
    // Phones pause a hidden tab by themselves: that is not a wish to stay behind.
    this.#pausedByHand = document.visibilityState === 'visible';
  };

  #look(): void {
    if (this.#player === null) return;
    const sample = this.#player.sample();
    this.last = sample;
    const wanted = this.#live && this.started && !sample.paused;
    this.stats.add(sample, wanted);
    this.stalled = this.#live && !sample.paused && this.stats.standing;
    // Until the first picture the position is 0, far from where playing will begin.
    this.latency_s = this.started ? sample.latency_s : null;
    this.window_s = sample.window;
    this.position_s = sample.position_s;
    if (sample.window !== null) this.live_s = Math.max(sample.position_s, sample.window.end_s - (sample.target_s ?? 0));
    ({ quality: this.quality, cause: this.cause } = this.stats.verdict());
    // Not by the engine's latency: just after a seek that is still the one before it, and would undo the seek.
    if (!this.following && sample.window !== null && this.live_s - sample.position_s < NEAR_LIVE_S) this.following = true;
    this.#publish(sample);
    // Before the first picture the watchdog guards the start as well.
    this.#cure(this.#recovery.sampled(sample, this.#live && (wanted || !this.started) && this.needsTap !== 'play', this.following && this.started));
  }

  /** For whoever measures from outside: tests and support read these from the video element. */
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
    this.#cure(this.#recovery.fault(kind, Date.now()));
  }

  #cure(cure: Cure): void {
    const player = this.#player;
    if (cure === 'none' || player === null) return;
    const { video } = this.options;
    video.dataset.cures = `${video.dataset.cures ?? ''} ${cure}`.trim().split(' ').slice(-20).join(' ');
    // Not from inside the engine's own event: it finishes its error handling first.
    if (cure === 'start-load') setTimeout(() => this.#player?.startLoad(), 0);
    else if (cure === 'recover-media') setTimeout(() => this.#player?.recoverMedia(), 0);
    else if (cure === 'go-live') player.goLive();
    else if (cure === 'even-pace' || cure === 'catch-up') player.catchUp(cure === 'catch-up');
    else this.#later(cure);
  }

  /** Reloads are spread over seconds: a relay that died leaves a whole class asking at once. */
  #later(cure: 'reload' | 'rebuild'): void {
    clearTimeout(this.#reload);
    this.#reload = setTimeout(async () => {
      await this.options.refresh();
      if (this.#destroyed || !this.#live) return;
      if (cure === 'rebuild') return this.#build();
      this.#player?.load(this.options.url());
      await this.play();
    }, RELOAD_FIRST_MS + Math.random() * RELOAD_SPREAD_MS);
  }
}

/** A random id for CMCD: it groups one tab's requests and names nobody. */
function sessionId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
