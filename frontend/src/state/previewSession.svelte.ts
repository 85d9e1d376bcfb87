// The teacher's preview: a player that is not counted as a viewer, and the sound level.
import { joinPreview } from '../api/classrooms';
import type { JoinResponse, Point } from '../api/types';
import type { PictureProblem } from '../player/pictureWatch';
import { classifyLoudness, SoundMeter, type Loudness } from '../player/soundMeter';
import { Playback } from './playback.svelte';

const PEAK_HOLD_S = 4;
const MEASURE_EVERY_MS = 100;
const RECORD_EVERY_MS = 1_000;
const MAX_POINTS = 120;
/** The chart starts here; quieter sound is inaudible in a classroom. */
const FLOOR_DB = -60;

export class PreviewSession {
  level_db = $state(-100);
  loudness = $state<Loudness>('silent');
  /** The peak of each second, in decibels above the floor. */
  levels = $state.raw<Point[]>([]);
  listening = $state(false);

  readonly #playback: Playback;
  #join: JoinResponse | null = null;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(
    private readonly id: string,
    private readonly video: HTMLVideoElement,
  ) {
    video.muted = true; // the teacher's microphone would pick it up
    this.#playback = new Playback({
      video,
      contentId: id,
      url: () => this.#join?.playback_url ?? '',
      token: () => this.#join?.token ?? '',
      refresh: () => this.#refresh(),
    });
  }

  get pictureProblem(): PictureProblem {
    return this.#playback.pictureProblem;
  }

  async setLive(live: boolean): Promise<void> {
    const expired = this.#join === null || Date.parse(this.#join.expires_at) < Date.now();
    if (live && expired) await this.#refresh();
    if (this.#join !== null) this.#playback.prefer(this.#join.priority);
    await this.#playback.setLive(live && this.#join !== null);
  }

  /** Start measuring the sound. Browsers allow it only after a click. */
  listen(): void {
    if (this.listening) return;
    this.listening = true;
    const meter = new SoundMeter(this.video);
    this.video.muted = false;
    let peaks: number[] = [];
    this.#timer = setInterval(() => {
      this.level_db = meter.level_db();
      peaks = [...peaks.slice(1 - (PEAK_HOLD_S * 1000) / MEASURE_EVERY_MS), this.level_db];
      this.loudness = classifyLoudness(Math.max(...peaks));
      this.#record(peaks);
    }, MEASURE_EVERY_MS);
  }

  destroy(): void {
    clearInterval(this.#timer);
    this.#playback.destroy();
  }

  #record(peaks: number[]): void {
    const now_s = Date.now() / 1000;
    if (now_s - (this.levels.at(-1)?.[0] ?? 0) < RECORD_EVERY_MS / 1000) return;
    const loudest_db = Math.max(FLOOR_DB, ...peaks.slice(-RECORD_EVERY_MS / MEASURE_EVERY_MS));
    this.levels = [...this.levels.slice(1 - MAX_POINTS), [now_s, loudest_db - FLOOR_DB]];
  }

  async #refresh(): Promise<boolean> {
    try {
      this.#join = await joinPreview(this.id);
      return true;
    } catch {
      return false;
    }
  }
}
