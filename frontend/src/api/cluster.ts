import { call } from './client';
import type { AuditEvent, Backup, ClusterNode, ClusterSummary } from './types';

export interface Cluster {
  nodes: ClusterNode[];
  summary: ClusterSummary;
}

export type NodeAction = 'drain' | 'undrain' | 'remove';

export const getCluster = (): Promise<Cluster> => call('GET', '/cluster/nodes');

/** `force` drains a node although no other node takes students. */
export const actOnNode = (id: string, action: NodeAction, force = false): Promise<void> =>
  action === 'remove'
    ? call('DELETE', `/cluster/nodes/${encodeURIComponent(id)}`)
    : call('POST', `/cluster/${action}/${encodeURIComponent(id)}${force ? '?force=true' : ''}`);

export const listEvents = async (): Promise<AuditEvent[]> =>
  (await call<{ events: AuditEvent[] }>('GET', '/api/events')).events;

/** As many of the newest events as the master gives at once. */
export const listAllEvents = async (): Promise<AuditEvent[]> =>
  (await call<{ events: AuditEvent[] }>('GET', '/api/events?limit=1000')).events;

export const testAlert = (): Promise<{ sent: boolean; problem: string }> => call('POST', '/api/test-alert');

export const getSettings = async (): Promise<Record<string, string>> =>
  (await call<{ settings: Record<string, string> }>('GET', '/api/settings')).settings;

export const getBackup = (): Promise<Backup> => call('GET', '/api/backup');
