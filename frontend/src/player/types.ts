// What the pages may ask of a player and what it tells, whichever engine plays.

export type FaultKind = 'network' | 'media' | 'other';

/** One look at the player. Seconds of media time unless the name says otherwise. */
export interface Sample {
  at_ms: number;
  position_s: number;
  paused: boolean;
  seeking: boolean;
  rate: number;
  /** Media loaded ahead of the position. */
  buffer_s: number;
  /** Distance behind the newest picture that the relay offers; null while unknown. */
  latency_s: number | null;
  target_s: number | null;
  window: { start_s: number; end_s: number } | null;
  /** Seconds since the playlist last grew, and since any playlist arrived. */
  edge_age_s: number | null;
  answer_age_s: number | null;
  throughput_bps: number | null;
  bitrate_bps: number | null;
  pathway: string | null;
  low_latency: boolean;
}

export interface PlayerOptions {
  video: HTMLVideoElement;
  /** The viewer's token of this moment: it is renewed while the player runs. */
  token: () => string;
  /** CMCD session and content id; neither names a person. */
  sessionId: string;
  contentId: string;
  /** Playback cannot go on without a cure. */
  fault: (kind: FaultKind, detail: string) => void;
}

export interface Player {
  load(url: string): void;
  sample(): Sample;
  goLive(): void;
  /** Relays in the order in which this viewer should use them. */
  prefer(priority: string[]): void;
  /** Whether it may play a little faster while it is late. It may, until it is told otherwise. */
  catchUp(allowed: boolean): void;
  startLoad(): void;
  recoverMedia(): void;
  destroy(): void;
}

export type MakePlayer = (options: PlayerOptions) => Promise<Player>;
