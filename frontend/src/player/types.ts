// The interface between the pages and a player, for every engine.

/** `codec`: this browser cannot decode the stream, so a recovery action does not help. */
export type FaultKind = 'network' | 'media' | 'codec' | 'other';

/** The state of the player at one moment, in seconds of media time unless a name says otherwise. */
export interface Sample {
  at_ms: number;
  position_s: number;
  paused: boolean;
  seeking: boolean;
  rate: number;
  /** Media buffered ahead of the position. */
  buffer_s: number;
  /** Distance behind the live edge; null if unknown. */
  latency_s: number | null;
  target_s: number | null;
  window: { start_s: number; end_s: number } | null;
  /** Seconds since the playlist last grew, and since the last playlist response. */
  live_edge_age_s: number | null;
  response_age_s: number | null;
  throughput_bps: number | null;
  bitrate_bps: number | null;
  pathway: string | null;
  low_latency: boolean;
}

export interface PlayerOptions {
  video: HTMLVideoElement;
  /** The viewer's current token; it is renewed while the player runs. */
  token: () => string;
  /** CMCD session id and content id; neither identifies a person. */
  sessionId: string;
  contentId: string;
  /** Called on a fatal error: playback stops until a recovery action. */
  fault: (kind: FaultKind, detail: string) => void;
}

export interface Player {
  load(url: string): void;
  sample(): Sample;
  goLive(): void;
  /** Pathway ids in the order in which this viewer should use them. */
  prefer(priority: string[]): void;
  /** Whether the player may raise its playback rate to catch up; allowed by default. */
  setCatchUp(allowed: boolean): void;
  startLoad(): void;
  recoverMedia(): void;
  destroy(): void;
}

export type CreatePlayer = (options: PlayerOptions) => Promise<Player>;
