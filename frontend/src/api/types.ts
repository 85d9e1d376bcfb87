// The JSON of the master's API and WebSockets, with its field names.

export type StreamState = 'waiting' | 'live' | 'reconnecting' | 'ended';
export type ClassStatus = 'open' | 'closed' | 'ended';
/** Why a node gets no students, and what the operator should do next. */
export type ReasonCode =
  | ''
  | 'new'
  | 'silent'
  | 'unreachable'
  | 'not-ready'
  | 'no-ingest'
  | 'slow-ingest'
  | 'bad-ingest'
  | 'behind'
  | 'watched'
  | 'returning'
  | 'draining'
  | 'keeping'
  | 'partly'
  | 'suspect';
export type NextStep = 'start-node' | 'check-node' | 'no-capacity' | 'add-node' | 'scale-down' | 'balanced';
export type NodeStatus = 'active' | 'draining' | 'unhealthy' | 'offline';
export type Role = 'student' | 'teacher' | 'monitor' | 'admin';
export type Quality = 'good' | 'fair' | 'poor' | 'unknown';

export interface Pathway {
  id: string;
  url: string;
}

export interface JoinResponse {
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
  /** 0: this classroom has no limit. */
  capacity: number;
  has_password: boolean;
  language: string;
  owner: string;
  created_at: string;
  /** Ids of the accounts that may manage this classroom besides its owner. */
  co_teachers: string[];
  join_url: string;
  rtmp_server?: string;
  rtmp_url?: string;
  rtmp_key?: string;
  stream_key?: string;
}

export interface StreamInfo {
  bitrate_bps: number | null;
  width: number | null;
  height: number | null;
  fps: number | null;
  keyframe_s: number | null;
  video_codec: string;
  audio_codec: string;
  /** The address of another encoder that took over recently, or an empty string. */
  taken_over_by: string;
  advice: string[];
}

export interface Viewer {
  subject: string;
  name: string;
  joined_at: string;
  node: string;
  quality: Quality;
  /** -1 while the player has reported none. */
  latency_ms: number;
}

/** One point of a history: [Unix time in seconds, value or null if unknown]. */
export type Point = [number, number | null];

/** One class at one node. */
export interface NodeStream {
  /** The class's id. */
  stream: string;
  state: 'served' | 'unknown' | 'failed';
  /** Since when, in seconds. */
  age_s: number;
  reason: string;
  reason_code: ReasonCode;
  /** Other nodes serve the class, so its students do not use this one. */
  avoided: boolean;
}

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
  /** Seconds behind the ingest; null if unknown. */
  lag_s: number | null;
  /** Why it is not active: an English sentence, and a code with its figures. */
  reason?: string;
  reason_code?: ReasonCode;
  reason_figures?: Record<string, number>;
  /** Over the WebSocket only those that are not served. */
  streams?: NodeStream[];
}

export interface ClusterSummary {
  total_nodes: number;
  active_nodes: number;
  total_capacity: number;
  current_load: number;
  average_load: number;
  recommendation: string;
  recommendation_code: NextStep;
  /** With check-node: `node` and the number of `others`. */
  recommendation_figures: Record<string, string | number>;
}

export interface AuditEvent {
  at: string;
  actor: string;
  action: string;
  target: string;
  detail: string;
}

/** The last backup; `at` is empty if there is none. */
export interface Backup {
  at: string;
  size_bytes: number;
}

/** A one-time sign-in link. */
export interface LoginLink {
  url: string;
  expires_at: string;
}

export interface StudentMessage {
  type: 'snapshot' | 'change' | 'kicked' | 'closed' | 'ended' | 'refused' | 'pong';
  seq?: number;
  classroom?: { id: string; name: string };
  state?: StreamState;
  /** The class has begun, and there is no seat for this student yet. */
  full?: boolean;
  pathways?: Pathway[];
  priority?: string[];
  viewers?: number;
}

export interface TeacherMessage {
  type: 'snapshot' | 'change' | 'refused' | 'pong';
  classroom?: Classroom;
  state?: StreamState;
  facts?: StreamInfo | null;
  viewers?: Viewer[];
  history?: Point[];
}

export interface MonitorMessage {
  type: 'snapshot' | 'change' | 'refused' | 'pong';
  nodes?: ClusterNode[];
  summary?: ClusterSummary;
  classrooms?: Classroom[];
  /** Average load in percent, and students, over time. */
  history?: Point[];
  student_history?: Point[];
  events?: AuditEvent[];
}
