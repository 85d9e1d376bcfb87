// The teacher's own view of the class: a player on a seat that is not counted, and how loud it is.
import { preview } from '../api/classrooms';
import type { Joined, Point } from '../api/types';
import { loudness, SoundMeter, type Loudness } from '../player/level';
import { Playback } from './playback.svelte';

const HOLD_S = 4;
const LOOK_MS = 100;
const RECORD_EVERY_MS = 1_000;
const MOST_POINTS = 120;
/** Silence on the chart; what is below cannot be heard in a classroom. */
const FLOOR_DB = -60;

export class Preview {
  level_db = $state(-100);
  heard = $state<Loudness>('silent');
  /** Decibels above the floor, one point a second: the loudest moment in it. */
  levels = $state.raw<Point[]>([]);
  listening = $state(false);

  readonly #playback: Playback;
  #way: Joined | null = null;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(
    private readonly id: string,
    private readonly video: HTMLVideoElement,
  ) {
    video.muted = true; // the microphone would hear it
    this.#playback = new Playback({
      video,
      contentId: id,
      url: () => this.#way?.playback_url ?? '',
      token: () => this.#way?.token ?? '',
      refresh: () => this.#ask(),
    });
  }

  async setLive(live: boolean): Promise<void> {
    const old = this.#way === null || Date.parse(this.#way.expires_at) < Date.now();
    if (live && old) await this.#ask();
    if (this.#way !== null) this.#playback.prefer(this.#way.priority);
    await this.#playback.setLive(live && this.#way !== null);
  }

  /** Measure the sound; needs a click before. */
  listen(): void {
    if (this.listening) return;
    this.listening = true;
    const meter = new SoundMeter(this.video);
    this.video.muted = false;
    let peaks: number[] = [];
    this.#timer = setInterval(() => {
      this.level_db = meter.level_db();
      peaks = [...peaks.slice(1 - (HOLD_S * 1000) / LOOK_MS), this.level_db];
      this.heard = loudness(Math.max(...peaks));
      this.#record(peaks);
    }, LOOK_MS);
  }

  destroy(): void {
    clearInterval(this.#timer);
    this.#playback.destroy();
  }

  #record(peaks: number[]): void {
    const now_s = Date.now() / 1000;
    if (now_s - (this.levels.at(-1)?.[0] ?? 0) < RECORD_EVERY_MS / 1000) return;
    const loudest_db = Math.max(FLOOR_DB, ...peaks.slice(-RECORD_EVERY_MS / LOOK_MS));
    this.levels = [...this.levels.slice(1 - MOST_POINTS), [now_s, loudest_db - FLOOR_DB]];
  }

  async #ask(): Promise<boolean> {
    try {
      this.#way = await preview(this.id);
      return true;
    } catch {
      return false;
    }
  }
}
