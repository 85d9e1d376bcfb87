// What the master says, word for word. Field names are the contract; nothing here has behaviour.

export type StreamState = 'waiting' | 'live' | 'reconnecting' | 'ended';
export type ClassStatus = 'open' | 'closed' | 'ended';
/** Why a node is not at work; and what the operator should do next. */
export type ReasonCode =
  | '' | 'new' | 'silent' | 'unreachable' | 'not-ready' | 'no-ingest' | 'slow-ingest' | 'bad-ingest' | 'watched' | 'returning' | 'draining';
export type NextStep = 'start-node' | 'check-node' | 'add-node' | 'scale-down' | 'balanced';
export type NodeStatus = 'active' | 'draining' | 'unhealthy' | 'offline';
export type Role = 'student' | 'teacher' | 'monitor' | 'admin';
export type Quality = 'good' | 'fair' | 'poor' | 'unknown';

export interface Pathway {
  id: string;
  url: string;
}

export interface Joined {
  token: string;
  expires_at: string;
  classroom: { id: string; name: string; language?: string };
  state: StreamState;
  live: boolean;
  playback_url: string;
  pathways: Pathway[];
  priority: string[];
  steering_url: string;
  websocket_url?: string;
}

export interface User {
  id: string;
  name: string;
  role: Role;
  disabled?: boolean;
  has_password?: boolean;
  created_at?: string;
}

export interface Classroom {
  id: string;
  name: string;
  code: string;
  status: ClassStatus;
  state: StreamState;
  viewers: number;
  /** 0 means no limit of its own. */
  capacity: number;
  has_password: boolean;
  language: string;
  owner: string;
  created_at: string;
  /** Ids of accounts that may manage this class beside its owner. */
  co_teachers: string[];
  join_url: string;
  rtmp_server?: string;
  rtmp_url?: string;
  rtmp_key?: string;
  stream_key?: string;
}

export interface Facts {
  bitrate_bps: number | null;
  width: number | null;
  height: number | null;
  fps: number | null;
  keyframe_s: number | null;
  video_codec: string;
  audio_codec: string;
  /** The address of another encoder that took the class over lately; empty: none did. */
  taken_over_by: string;
  advice: string[];
}

export interface Viewer {
  subject: string;
  name: string;
  joined_at: string;
  node: string;
  quality: Quality;
  /** -1 when the player told nothing. */
  latency_ms: number;
}

/** One point of a history: [seconds since 1970, value, or null where nothing is known]. */
export type Point = [number, number | null];

export interface ClusterNode {
  id: string;
  url: string;
  status: NodeStatus;
  zone: string[];
  connections: number;
  capacity: number;
  /** Percent of the capacity. */
  load: number;
  egress_mbps: number;
  last_seen_s: number;
  version: string;
  /** Seconds behind the ingest; null while unknown. */
  lag_s: number | null;
  /** Why it is not active: in English, and as a code with the figures in it. */
  reason?: string;
  reason_code?: ReasonCode;
  reason_figures?: Record<string, number>;
}

export interface ClusterSummary {
  total_nodes: number;
  active_nodes: number;
  total_capacity: number;
  current_load: number;
  average_load: number;
  recommendation: string;
  recommendation_code: NextStep;
  /** With check-node: `node`, and how many `others` there are. */
  recommendation_figures: Record<string, string | number>;
}

export interface AuditEvent {
  at: string;
  actor: string;
  action: string;
  target: string;
  detail: string;
}

/** The last backup; `at` is empty when there was none. */
export interface Backup {
  at: string;
  size_bytes: number;
}

/** A one-time link that signs somebody in. */
export interface LoginLink {
  url: string;
  expires_at: string;
}

export interface StudentNews {
  type: 'snapshot' | 'change' | 'kicked' | 'closed' | 'ended' | 'refused' | 'pong';
  seq?: number;
  classroom?: { id: string; name: string };
  state?: StreamState;
  pathways?: Pathway[];
  priority?: string[];
  viewers?: number;
}

export interface TeacherNews {
  type: 'snapshot' | 'change' | 'refused' | 'pong';
  classroom?: Classroom;
  state?: StreamState;
  facts?: Facts | null;
  viewers?: Viewer[];
  history?: Point[];
}

export interface MonitorNews {
  type: 'snapshot' | 'change' | 'refused' | 'pong';
  nodes?: ClusterNode[];
  summary?: ClusterSummary;
  classrooms?: Classroom[];
  /** Average load in percent, and students, over time. */
  history?: Point[];
  student_history?: Point[];
  events?: AuditEvent[];
}
