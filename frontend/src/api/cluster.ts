import { call } from './client';
import type { AuditEvent, ClusterNode, ClusterSummary, Role, User } from './types';

export interface Cluster {
  nodes: ClusterNode[];
  summary: ClusterSummary;
}

export type NodeAction = 'drain' | 'undrain' | 'remove';

export const getCluster = (): Promise<Cluster> => call('GET', '/cluster/nodes');

export const actOnNode = (id: string, action: NodeAction): Promise<void> =>
  action === 'remove'
    ? call('DELETE', `/cluster/nodes/${encodeURIComponent(id)}`)
    : call('POST', `/cluster/${action}/${encodeURIComponent(id)}`);

export const listEvents = async (): Promise<AuditEvent[]> => (await call<{ events: AuditEvent[] }>('GET', '/api/events')).events;

export const getSettings = async (): Promise<Record<string, string>> =>
  (await call<{ settings: Record<string, string> }>('GET', '/api/settings')).settings;

export const listUsers = async (): Promise<User[]> => (await call<{ users: User[] }>('GET', '/api/users')).users;

export const createUser = (user: { name: string; password: string; role: Role }): Promise<User> =>
  call('POST', '/api/users', { body: user });

export const deleteUser = (id: string): Promise<void> => call('DELETE', `/api/users/${encodeURIComponent(id)}`);
