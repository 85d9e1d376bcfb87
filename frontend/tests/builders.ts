// Valid records; a test overrides only what matters to it.
import type { Classroom, ClusterNode, JoinResponse, Viewer } from '../src/api/types';
import type { Sample } from '../src/player/types';

export function sample(changes: Partial<Sample> = {}): Sample {
  return {
    at_ms: 0,
    position_s: 0,
    paused: false,
    seeking: false,
    rate: 1,
    buffer_s: 1.5,
    latency_s: 2,
    target_s: 1.75,
    window: { start_s: 0, end_s: 30 },
    live_edge_age_s: 0.3,
    response_age_s: 0.3,
    throughput_bps: 8_000_000,
    bitrate_bps: 1_000_000,
    pathway: 'relay-1',
    low_latency: true,
    ...changes,
  };
}

export function joinResponse(changes: Partial<JoinResponse> = {}): JoinResponse {
  return {
    token: 'token-1',
    expires_at: new Date(Date.now() + 3_600_000).toISOString(),
    classroom: { id: 'c1', name: 'Physics' },
    state: 'live',
    live: true,
    playback_url: '/live/c1/index.m3u8?token=token-1',
    pathways: [{ id: 'relay-1', url: 'http://r1/t/token-1/c1/index.m3u8' }],
    priority: ['relay-1'],
    steering_url: '/steering/c1?token=token-1',
    ...changes,
  };
}

export function classroom(changes: Partial<Classroom> = {}): Classroom {
  return {
    id: 'c1',
    name: 'Physics',
    code: 'K7QFM2',
    status: 'open',
    state: 'waiting',
    viewers: 0,
    capacity: 0,
    has_password: false,
    language: 'ko',
    owner: 'Kim',
    co_teachers: [],
    roster: [],
    starts_when_live: false,
    blocked: [],
    created_at: '2026-11-23T01:00:00Z',
    join_url: 'http://localhost/join/K7QFM2',
    ...changes,
  };
}

export function viewer(n: number, changes: Partial<Viewer> = {}): Viewer {
  return {
    subject: `s${n}`,
    name: `Student ${n}`,
    joined_at: '2026-11-23T01:00:00Z',
    node: 'relay-1',
    quality: 'good',
    latency_ms: 2100,
    ...changes,
  };
}

export function node(n: number, changes: Partial<ClusterNode> = {}): ClusterNode {
  return {
    id: `relay-${n}`,
    url: `http://10.0.0.${n}:8080`,
    status: 'active',
    zone: [],
    lag_s: 0.4,
    connections: 45,
    capacity: 150,
    load: 30,
    egress_mbps: 110.5,
    last_seen_s: 1.2,
    version: '0.1.0',
    ...changes,
  };
}
